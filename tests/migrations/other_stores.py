"""The three stores whose tables exist in the wild, statement for statement."""

import json
from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Engine, text

from boocode_sessions import SessionKey

Entry = dict[str, Any]


class _Store:
    """Runs each call as one statement, as these stores do."""

    ddl: str

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def create(self) -> None:
        self._run(self.ddl)

    def _run(self, statement: str, parameters: Sequence[object] | None = None) -> list[Any]:
        with self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []


class SeedStore(_Store):
    """The seed's PostgresSessionStore: porsager `postgres`, one row per entry, `''` for main."""

    ddl = """
        CREATE TABLE claude_session_entries (
            id BIGSERIAL PRIMARY KEY,
            project_key TEXT NOT NULL,
            session_id TEXT NOT NULL,
            subpath TEXT NOT NULL DEFAULT '',
            entry JSONB NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
        );
        CREATE INDEX idx_claude_session_entries_key
            ON claude_session_entries (project_key, session_id, subpath, id);
    """

    def append(self, project: str, session: str, entries: list[Entry], subpath: str = "") -> None:
        row = "(%s,%s,%s,%s)"
        parameters = [value for entry in entries for value in (project, session, subpath, Jsonb(entry))]
        self._run(
            'INSERT INTO claude_session_entries ("project_key","session_id","subpath","entry")values'
            + ",".join([row] * len(entries)),
            parameters,
        )

    def load(self, project: str, session: str, subpath: str = "") -> list[Entry] | None:
        rows = self._run(
            "SELECT entry FROM claude_session_entries WHERE project_key = %s AND session_id = %s "
            "AND subpath = %s ORDER BY id",
            [project, session, subpath],
        )
        return [row[0] for row in rows] or None

    def list_sessions(self, project: str) -> dict[str, float]:
        return {
            session: float(mtime)
            for session, mtime in self._run(
                "SELECT session_id, extract(epoch FROM max(created_at)) * 1000 AS mtime "
                "FROM claude_session_entries WHERE project_key = %s AND subpath = '' GROUP BY session_id",
                [project],
            )
        }

    def delete(self, project: str, session: str, subpath: str | None = None) -> None:
        if subpath is not None:
            self._run(
                "DELETE FROM claude_session_entries "
                "WHERE project_key = %s AND session_id = %s AND subpath = %s",
                [project, session, subpath],
            )
            return
        self._run(
            "DELETE FROM claude_session_entries WHERE project_key = %s AND session_id = %s",
            [project, session],
        )

    def list_subkeys(self, project: str, session: str) -> set[str]:
        rows = self._run(
            "SELECT DISTINCT subpath FROM claude_session_entries "
            "WHERE project_key = %s AND session_id = %s AND subpath <> ''",
            [project, session],
        )
        return {row[0] for row in rows}


class TypeScriptReference(_Store):
    """The TypeScript SDK's reference adapter: NULL is the main transcript's subpath."""

    ddl = """
        CREATE TABLE claude_session_entries (
            id BIGSERIAL PRIMARY KEY,
            project_key TEXT NOT NULL,
            session_id TEXT NOT NULL,
            subpath TEXT,
            entry JSONB NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now()
        );
        CREATE INDEX claude_session_entries_key ON claude_session_entries (project_key, session_id, subpath);
    """

    def append(self, project: str, session: str, entries: list[Entry], subpath: str | None = None) -> None:
        for entry in entries:
            self._run(
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "VALUES (%s, %s, %s, %s)",
                [project, session, subpath, Jsonb(entry)],
            )


class PythonReference(_Store):
    """The Python SDK's reference adapter: a table of another name, `mtime` in epoch milliseconds."""

    ddl = """
        CREATE TABLE claude_session_store (
            project_key text NOT NULL,
            session_id text NOT NULL,
            subpath text NOT NULL DEFAULT '',
            seq bigserial,
            entry jsonb NOT NULL,
            mtime bigint NOT NULL,
            PRIMARY KEY (project_key, session_id, subpath, seq)
        );
        CREATE INDEX claude_session_store_list_idx
            ON claude_session_store (project_key, session_id) WHERE subpath = '';
    """

    def append(
        self, project: str, session: str, entries: list[Entry], subpath: str = "", mtime_ms: int | None = None
    ) -> None:
        clock = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        self._run(
            "INSERT INTO claude_session_store (project_key, session_id, subpath, entry, mtime) "
            f"SELECT %s, %s, %s, e, coalesce(%s, {clock}) FROM unnest(%s::jsonb[]) AS t(e)",
            [project, session, subpath, mtime_ms, [json.dumps(entry) for entry in entries]],
        )


def insert_unplaced(engine: Engine, key: SessionKey, entries: Sequence[Entry]) -> None:
    """Insert as another program does, with the columns that it knows."""
    row = {"p": key["project_key"], "s": key["session_id"], "sub": key.get("subpath", "")}
    with engine.begin() as connection:
        for entry in entries:
            connection.execute(
                text(
                    "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                    "VALUES (:p, :s, :sub, :entry)"
                ),
                {**row, "entry": json.dumps(entry)},
            )
