"""The bare database: raw COPY in and out, and an index probe per session."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import psycopg

from benchmarks.entries import Entry
from benchmarks.peers import PROJECT, Peer
from benchmarks.peers.reference import TABLES
from benchmarks.peers.sql import SMALL_ENTRY, every_entry, without_indexes
from benchmarks.server import Address

_PROBES = """
    WITH RECURSIVE hops AS (
        SELECT (SELECT min(session_id) FROM claude_session_store
                WHERE project_key = %(p)s AND subpath = '') AS s
        UNION ALL
        SELECT (SELECT min(session_id) FROM claude_session_store
                WHERE project_key = %(p)s AND subpath = '' AND session_id > hops.s)
        FROM hops WHERE hops.s IS NOT NULL)
    SELECT s, (SELECT max(mtime) FROM claude_session_store
               WHERE project_key = %(p)s AND subpath = '' AND session_id = hops.s)
    FROM hops WHERE s IS NOT NULL"""


class Floor(Peer):
    label: ClassVar[str] = "the floor (raw psycopg)"
    equivalent: ClassVar[str] = (
        "COPY in, COPY out without decoding; the listing hops over a covering index; "
        "the reference adapter's table"
    )

    _connection: psycopg.AsyncConnection[Any]

    async def setup(self, address: Address) -> None:
        with psycopg.connect(address.dsn, autocommit=True) as connection:
            for statement in TABLES:
                connection.execute(statement.encode())
            connection.execute(
                "CREATE INDEX claude_session_store_probe_idx "
                "ON claude_session_store (project_key, session_id, mtime) WHERE subpath = ''"
            )
        self._address = address
        await self.open(address)

    async def open(self, address: Address) -> None:
        self._connection = await psycopg.AsyncConnection.connect(address.dsn, autocommit=True)

    async def close(self) -> None:
        await self._connection.close()

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        columns = "(project_key, session_id, subpath, entry, mtime)"
        statement = f"COPY claude_session_store {columns} FROM STDIN".encode()
        async with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for entry in entries:
                await copy.write_row((PROJECT, session, subpath or "", json.dumps(entry), 0))

    async def load(self, session: str) -> None:
        size = 0
        query = (
            "COPY (SELECT entry FROM claude_session_store "
            "WHERE project_key = %s AND session_id = %s AND subpath = '' ORDER BY seq) TO STDOUT"
        )
        async with self._connection.cursor() as cursor, cursor.copy(query, [PROJECT, session]) as copy:
            async for data in copy:
                size += len(data)
        assert size

    async def list_sessions(self) -> None:
        cursor = await self._connection.execute(_PROBES, {"p": PROJECT})
        assert await cursor.fetchall()

    async def fill(self, sessions: int, entries: int, *, first: int = 0) -> None:
        with without_indexes(self._address, "claude_session_store") as connection:
            connection.execute(
                "INSERT INTO claude_session_store (project_key, session_id, entry, mtime) "
                f"SELECT '{PROJECT}', 'session-' || s, {SMALL_ENTRY}, 1750000000000 + i "
                f"FROM {every_entry(sessions, entries, first)}".encode()
            )
