"""Writes the stored databases of the current schema version. Run once per release, and commit what it writes:

python -m tests.migrations.stored.make URL_OF_AN_EMPTY_POSTGRESQL_DATABASE
"""

import sqlite3
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.engine import create_engine
from boocode_sessions.models import SCHEMA_VERSION
from tests.migrations.other_stores import insert_unplaced

HERE = Path(__file__).parent
MAIN: SessionKey = {"project_key": "p", "session_id": "s"}
SUBAGENT: SessionKey = {**MAIN, "subpath": "subagents/workflows/w/agent-x"}
OTHER: SessionKey = {"project_key": "p", "session_id": "of another writer"}
STORED: list[tuple[SessionKey, list[dict[str, Any]]]] = [
    (
        MAIN,
        [
            {"type": "user", "uuid": "a", "message": {"content": "the first prompt"}, "it's": "a \\ quote"},
            {"type": "mode", "n": [1e23, -0.0, 2**70, 1.5], "text": "\0 \ud800 \U0001f600"},
            {"type": "assistant", "uuid": "b", "message": {"content": [{"type": "text", "text": "%s ünï"}]}},
        ],
    ),
    (SUBAGENT, [{"type": "user", "uuid": "c", "isSidechain": True}]),
]
UNPLACED: list[dict[str, Any]] = [
    {"type": "user", "uuid": "d", "message": {"content": "theirs"}},
    {"type": "user", "uuid": "d"},
]
TABLES = ("claude_session_entries", "claude_sessions")


def fill(url: str) -> None:
    migrations.upgrade(url)
    engine = create_engine(url)
    repository = ClaudeSessionRepository(engine)
    for key, entries in STORED:
        repository.append(key, entries)
    insert_unplaced(engine, OTHER, UNPLACED)
    engine.dispose()


def dump_sqlite(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def dump_postgresql(url: str) -> str:
    """Return the schema as the migrations write it, and the rows as INSERTs."""
    script = migrations.upgrade_script("postgresql", SCHEMA_VERSION)
    native = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(native) as connection:
        for table in TABLES:
            cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            names = [column.name for column in cursor.description or []]
            texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
            rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(texts, sql.Identifier(table)))
            for row in rows:
                values = sql.SQL(", ").join(map(sql.Literal, row)).as_string(connection)
                script += f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values});\n"
    return script + f"SELECT setval('claude_session_entries_id_seq', {10});\n"


if __name__ == "__main__":
    sqlite_file = HERE / "making.db"
    fill(f"sqlite:///{sqlite_file}")
    (HERE / f"{SCHEMA_VERSION}.sqlite.sql").write_text(dump_sqlite(sqlite_file))
    for left in HERE.glob("making.db*"):
        left.unlink()
    fill(sys.argv[1])
    (HERE / f"{SCHEMA_VERSION}.postgresql.sql").write_text(dump_postgresql(sys.argv[1]))
