"""Rows that the server generates, for tables too large to send. Every peer gets the same small entry."""

import contextlib
from collections.abc import Iterator

import psycopg

from benchmarks.server import Address

SMALL_ENTRY = """jsonb_build_object(
    'type', CASE WHEN i % 3 = 0 THEN 'user' ELSE 'assistant' END,
    'uuid', md5(s || '.' || i),
    'sessionId', 'session-' || s,
    'timestamp', '2026-05-01T10:00:00.000Z',
    'cwd', '/home/dev/project',
    'gitBranch', 'main',
    'message', jsonb_build_object('role', 'user', 'content', 'what happened in turn ' || i || ' of ' || s))"""
"""One entry of session number `s`, number `i`: about 250 bytes."""

EVERY_ENTRY = "generate_series({first}, {last}) AS s, generate_series(1, {entries}) AS i"


def every_entry(sessions: int, entries: int, first: int) -> str:
    """Return a FROM list that yields `s` and `i`, session after session."""
    return EVERY_ENTRY.format(first=first, last=first + sessions - 1, entries=entries)


@contextlib.contextmanager
def without_indexes(address: Address, table: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to fill a table without its indexes, then create them again, which is much quicker.

    The primary key stays. At the end the table is vacuumed and analyzed, as autovacuum would.
    """
    with psycopg.connect(address.dsn, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indrelid = %s::regclass AND NOT indisprimary",
            [table],
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        yield connection
        connection.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute(f"VACUUM (ANALYZE) {table}".encode())
