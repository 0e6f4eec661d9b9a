"""The Python SDK's reference adapter for PostgreSQL: its statements, in our own driver."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import asyncpg
from claude_agent_sdk import list_sessions_from_store

from benchmarks.entries import Entry
from benchmarks.peers import PROJECT, Peer
from benchmarks.peers.sql import SMALL_ENTRY, every_entry, without_indexes
from benchmarks.server import Address

TABLES = (
    """CREATE TABLE claude_session_store (
        project_key text NOT NULL, session_id text NOT NULL, subpath text NOT NULL DEFAULT '',
        seq bigserial, entry jsonb NOT NULL, mtime bigint NOT NULL,
        PRIMARY KEY (project_key, session_id, subpath, seq))""",
    """CREATE INDEX claude_session_store_list_idx ON claude_session_store (project_key, session_id)
        WHERE subpath = ''""",
)
_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class _Store:
    """The adapter's methods that the SDK's own listing calls. It keeps no summaries."""

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        self._pool = pool

    async def append(self, key: Any, entries: Sequence[Any]) -> None:  # noqa: ANN401 - the SDK's types
        await self._pool.execute(
            "INSERT INTO claude_session_store (project_key, session_id, subpath, entry, mtime) "
            f"SELECT $1, $2, $3, e, {_NOW_MS} FROM unnest($4::jsonb[]) AS t(e)",
            key["project_key"],
            key["session_id"],
            key.get("subpath") or "",
            [json.dumps(entry) for entry in entries],
        )

    async def load(self, key: Any) -> list[Any] | None:  # noqa: ANN401 - the SDK's types
        rows = await self._pool.fetch(
            "SELECT entry FROM claude_session_store "
            "WHERE project_key = $1 AND session_id = $2 AND subpath = $3 ORDER BY seq",
            key["project_key"],
            key["session_id"],
            key.get("subpath") or "",
        )
        return [json.loads(row["entry"]) for row in rows] or None

    async def list_sessions(self, project_key: str) -> list[Any]:
        rows = await self._pool.fetch(
            "SELECT session_id, max(mtime) AS mtime FROM claude_session_store "
            "WHERE project_key = $1 AND subpath = '' GROUP BY session_id",
            project_key,
        )
        return [{"session_id": row["session_id"], "mtime": row["mtime"]} for row in rows]


class Reference(Peer):
    label: ClassVar[str] = "SDK reference adapter (asyncpg)"
    equivalent: ClassVar[str] = "its own statements: no dedupe, no summaries, no order among writers"

    _pool: Any

    async def setup(self, address: Address) -> None:
        connection = await asyncpg.connect(address.url("postgresql"))
        for statement in TABLES:
            await connection.execute(statement)
        await connection.close()
        self._address = address
        await self.open(address)

    async def open(self, address: Address) -> None:
        self._pool = await asyncpg.create_pool(address.url("postgresql"))
        self._store = _Store(self._pool)

    async def close(self) -> None:
        await self._pool.close()

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        await self._store.append({"project_key": PROJECT, "session_id": session, "subpath": subpath}, entries)

    async def load(self, session: str) -> None:
        assert await self._store.load({"project_key": PROJECT, "session_id": session})

    async def list_sessions(self) -> None:
        assert await self._store.list_sessions(PROJECT)

    async def list_for_people(self, limit: int) -> None:
        store: Any = self._store
        assert len(await list_sessions_from_store(store, "/home/dev/project", limit)) == limit

    async def list_subkeys(self, session: str) -> None:
        assert await self._pool.fetch(
            "SELECT DISTINCT subpath FROM claude_session_store "
            "WHERE project_key = $1 AND session_id = $2 AND subpath <> ''",
            PROJECT,
            session,
        )

    async def delete(self, session: str) -> None:
        await self._pool.execute(
            "DELETE FROM claude_session_store WHERE project_key = $1 AND session_id = $2", PROJECT, session
        )

    async def fill(self, sessions: int, entries: int, *, first: int = 0) -> None:
        with without_indexes(self._address, "claude_session_store") as connection:
            connection.execute(
                "INSERT INTO claude_session_store (project_key, session_id, entry, mtime) "
                f"SELECT '{PROJECT}', 'session-' || s, {SMALL_ENTRY}, {_NOW_MS} "
                f"FROM {every_entry(sessions, entries, first)}".encode()
            )
