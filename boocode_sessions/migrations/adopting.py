"""Lets version 0001 take over a `claude_session_entries` that another store made and filled.

Two stores are known: BooCode's store, and the TypeScript SDK's reference adapter, in which NULL is the
subpath of the main transcript. Both use PostgreSQL. This module is frozen with version 0001.
docs/decisions/adopting-a-table.md says why the indexes are built as they are.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import PGDialect

from boocode_sessions._core.transactions import connected
from boocode_sessions.errors import SchemaError
from boocode_sessions.migrations.locking import own_transaction
from boocode_sessions.migrations.target import effective_schema, schema

TABLE = "claude_session_entries"
PAGE_ROWS = 5000


class EntriesIndex(NamedTuple):
    """An index on the entries."""

    name: str
    columns: list[str]
    unique: bool = False
    where: str | None = None

    def options(self) -> dict[str, Any]:
        where = None if self.where is None else sa.text(self.where)
        return {"unique": self.unique, "postgresql_where": where, "sqlite_where": where}


UNPLACED = "9223372036854775807"
"""The position of unplaced rows. As a column default it fills a large table without rewriting it."""

INDEXES = (
    EntriesIndex(
        "claude_session_entries_position_idx",
        ["project_key", "session_id", "subpath", "position", "id"],
        unique=True,
    ),
    EntriesIndex(
        "claude_session_entries_dedup_idx",
        ["project_key", "session_id", "subpath", "dedup_key"],
        unique=True,
        where="dedup_key IS NOT NULL",
    ),
    EntriesIndex(
        "claude_session_entries_first_idx",
        ["project_key", "session_id", "subpath"],
        where="is_first IS NOT NULL",
    ),
    EntriesIndex(
        "claude_session_entries_unplaced_idx",
        ["project_key", "session_id", "subpath", "created_at"],
        where=f"position = {UNPLACED}",
    ),
    EntriesIndex(
        "claude_session_entries_tools_idx",
        ["tool_use_id", "said_at", "created_at", "tool_count", "tool_name", "failed", "forked_from"],
        where="tool_count IS NOT NULL",
    ),
)

_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "id": sa.BigInteger,
    "project_key": sa.Text,
    "session_id": sa.Text,
    "subpath": sa.Text,
    "entry": JSONB,
    "created_at": sa.TIMESTAMP,
}


def may_adopt() -> bool:
    """True if the running migration finds a table to adopt. A script on PostgreSQL may always find one.

    Raises SchemaError if the table is of no known store.
    """
    if op.get_context().as_sql:
        return op.get_context().dialect.name == "postgresql"
    return _found(op.get_bind(), schema())


def fill_subpaths() -> None:
    """Block writers until the commit, and change NULL subpaths to `''`. Readers go on."""
    op.execute(f"LOCK TABLE {quoted(schema())} IN SHARE ROW EXCLUSIVE MODE")
    op.execute(f"UPDATE {quoted(schema())} SET {_FILL}")  # noqa: S608 - names of ours


def complete_columns() -> None:
    """Add missing columns, defaults and NOT NULLs. Readers wait from here until the commit."""
    op.execute(
        f"ALTER TABLE {quoted(schema())} {_ADD_COLUMNS}, "
        "ALTER COLUMN project_key SET NOT NULL, "
        "ALTER COLUMN session_id SET NOT NULL, "
        "ALTER COLUMN subpath SET DEFAULT '', "
        "ALTER COLUMN subpath SET NOT NULL, "
        "ALTER COLUMN entry SET NOT NULL, "
        "ALTER COLUMN created_at SET DEFAULT clock_timestamp(), "
        "ALTER COLUMN created_at SET NOT NULL"
    )


def compress_entries() -> None:
    """Compress new entries with lz4 if the server can.

    With pglz, compression is half of the server's time for a big append of lines of 3 KB, and a third for
    20 KB. With lz4, reads take a sixth less time, and the table takes an eighth more space.
    """
    alter = f"ALTER TABLE {quoted(schema())} ALTER COLUMN entry SET COMPRESSION lz4"
    if op.get_context().as_sql:
        op.execute(f"DO $$ BEGIN IF EXISTS ({_KNOWS_LZ4}) THEN {alter}; END IF; END $$")
    elif op.get_bind().execute(sa.text(_KNOWS_LZ4)).first() is not None:
        op.execute(alter)


def prepare(engine: sa.Engine, given_schema: str | None) -> None:
    """Do everything that takes long, without a lock that a writer would wait for."""
    if engine.dialect.name != "postgresql":
        return
    with own_transaction(engine) as connection:
        target = effective_schema(connection, given_schema)
        if not _found(connection, target):
            return
        connection.execute(sa.text(f"ALTER TABLE {quoted(target)} {_ADD_COLUMNS}"))
    with building(engine) as connection:
        _fill_in_pages(connection, quoted(target))
        for name in invalid_indexes(connection, named(target)):
            connection.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(target, name)}"))
        for index in INDEXES:
            unique = "UNIQUE " if index.unique else ""
            where = f" WHERE {index.where}" if index.where else ""
            connection.execute(
                sa.text(
                    f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {index.name} "
                    f"ON {quoted(target)} ({', '.join(index.columns)}){where}"
                )
            )


@contextmanager
def building(engine: sa.Engine) -> Generator[sa.Connection]:
    """Open a connection for long statements that can't run in a transaction."""
    with connected(engine) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(sa.text("SET statement_timeout = 0"))
            connection.execute(sa.text("SET lock_timeout = 0"))
            yield connection
        finally:
            # Close it, because of its settings. psycopg for asyncio would keep a detached connection open.
            connection.invalidate()


def drop_invalid_indexes() -> None:
    """Drop indexes that an interrupted `prepare` left: IF NOT EXISTS would take them for complete ones."""
    if not op.get_context().as_sql:
        for name in invalid_indexes(op.get_bind(), named(schema())):
            op.drop_index(name, TABLE, schema=schema())


_PREPARER = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]
_ADDED = {
    "position": f"BIGINT NOT NULL DEFAULT {UNPLACED}",
    "said_at": "TIMESTAMP WITH TIME ZONE",
    "size": "INTEGER",
    "input_tokens": "INTEGER",
    "output_tokens": "INTEGER",
    "cache_read_tokens": "INTEGER",
    "cache_write_tokens": "INTEGER",
    "cache_write_1h_tokens": "INTEGER",
    "tool_count": "SMALLINT",
    "failed": "BOOLEAN",
    "is_first": "BOOLEAN",
    "dedup_key": "BYTEA",
    "type": "TEXT",
    "message_id": "TEXT",
    "request_id": "TEXT",
    "model": "TEXT",
    "tool_name": "TEXT",
    "tool_use_id": "TEXT",
    "forked_from": "TEXT",
    "verbatim": "TEXT",
}
_ADD_COLUMNS = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in _ADDED.items())
_TO_FILL = "(subpath IS NULL OR created_at IS NULL)"
_FILL = (
    f"subpath = coalesce(subpath, ''), created_at = coalesce(created_at, clock_timestamp()) WHERE {_TO_FILL}"
)
_KNOWS_LZ4 = (
    "SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
)


def _found(connection: sa.Connection, where: str | None) -> bool:
    inspector = sa.inspect(connection)
    if not inspector.has_table(TABLE, schema=where):
        return False
    problem = None
    if connection.dialect.name != "postgresql":
        problem = "only PostgreSQL tables can be adopted"
    else:
        columns = {column["name"]: column for column in inspector.get_columns(TABLE, schema=where)}
        for name, kind in _TYPES.items():
            if name not in columns:
                problem = f"it has no column {name}"
            elif not isinstance(columns[name]["type"], kind) or (
                name == "created_at" and not getattr(columns[name]["type"], "timezone", False)
            ):
                problem = f"its column {name} is {columns[name]['type']}"
        for name in columns.keys() - _TYPES.keys() - _ADDED.keys():
            if not columns[name]["nullable"] and columns[name].get("default") is None:
                problem = f"its column {name} has to be given and is unknown here"
    if problem:
        raise SchemaError(
            f"the database has a table {TABLE} that is not of a known store: {problem}. "
            "Alter or rename it, or keep our tables in a schema of their own"
        )
    return True


def _fill_in_pages(connection: sa.Connection, table: str) -> None:
    statement = sa.text(
        f"WITH page AS (SELECT id FROM {table} WHERE id > :after AND {_TO_FILL} ORDER BY id LIMIT :rows), "  # noqa: S608 - names of ours
        f"filled AS (UPDATE {table} SET {_FILL} AND id IN (SELECT id FROM page)) SELECT max(id) FROM page"
    )
    after: int | None = -(2**63)
    while after is not None:
        after = connection.execute(statement, {"after": after, "rows": PAGE_ROWS}).scalar_one()


def invalid_indexes(connection: sa.Connection, table: str) -> list[str]:
    statement = sa.text(
        "SELECT index.relname FROM pg_catalog.pg_index "
        "JOIN pg_catalog.pg_class AS index ON index.oid = indexrelid "
        "WHERE indrelid = to_regclass(:table) AND NOT indisvalid AND index.relname = ANY (:names)"
    )
    names = [index.name for index in INDEXES]
    return list(connection.execute(statement, {"table": table, "names": names}).scalars())


def quoted(where: str | None, name: str = TABLE) -> str:
    """Return the quoted name of a table for `text()`, which takes a word after a colon for a parameter."""
    return named(where, name).replace(":", "\\:")


def named(where: str | None, name: str = TABLE) -> str:
    """Return the quoted name of a table as a value, in which percent signs are not doubled."""
    return f"{_PREPARER.quote(where)}.{name}".replace("%%", "%") if where else name
