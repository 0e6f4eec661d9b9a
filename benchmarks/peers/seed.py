"""The seed that this package grew from: its statements, with its own driver and language.

`seed.mjs` runs them through porsager's `postgres` in Node, which npm installs into the cache. It times
itself, so the pipe between the two processes is not measured.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from benchmarks.entries import Entry
from benchmarks.peers import PROJECT, NotSupported, Peer
from benchmarks.peers.sql import SMALL_ENTRY, every_entry, without_indexes
from benchmarks.server import CACHE, Address

_TABLES = (
    """CREATE TABLE claude_session_entries (
        id bigserial PRIMARY KEY, project_key text NOT NULL, session_id text NOT NULL,
        subpath text NOT NULL DEFAULT '', entry jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now())""",
    """CREATE INDEX claude_session_entries_key_idx
        ON claude_session_entries (project_key, session_id, subpath, id)""",
)
_MODULES = CACHE / "node"


class Seed(Peer):
    label: ClassVar[str] = "the seed (Node, porsager postgres)"
    equivalent: ClassVar[str] = "its own statements in Node: no dedupe, no summaries, no order among writers"

    _process: asyncio.subprocess.Process | None = None

    async def setup(self, address: Address) -> None:
        with psycopg.connect(address.dsn, autocommit=True) as connection:
            for statement in _TABLES:
                connection.execute(statement.encode())
        self._address = address
        await self.open(address)

    async def open(self, address: Address) -> None:
        _install()
        script = _MODULES / "seed.mjs"
        shutil.copy(Path(__file__).with_name("seed.mjs"), script)
        self._process = await asyncio.create_subprocess_exec(
            "node", str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        socket = f"{address.host}/.s.PGSQL.{address.port}" if address.host.startswith("/") else None
        at = {"path": socket, "host": address.host, "port": address.port, "database": address.database}
        await self._call("open", **at, project=PROJECT)

    async def close(self) -> None:
        if self._process is not None:
            await self._call("close")
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()

    async def _call(self, command: str, **arguments: Any) -> float:  # noqa: ANN401 - JSON
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        await process.stdin.drain()
        answer = json.loads(await process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return float(answer["seconds"])

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> float:
        return await self._call("append", session=session, entries=list(entries), subpath=subpath)

    async def append_at_once(self, batches: dict[str, list[Entry]]) -> float:
        return await self._call("append_at_once", batches=batches)

    async def load(self, session: str) -> float:
        return await self._call("load", session=session)

    async def list_sessions(self) -> float:
        return await self._call("list_sessions")

    async def list_subkeys(self, session: str) -> float:
        return await self._call("list_subkeys", session=session)

    async def delete(self, session: str) -> float:
        return await self._call("delete", session=session)

    async def fill(self, sessions: int, entries: int, *, first: int = 0) -> None:
        with without_indexes(self._address, "claude_session_entries") as connection:
            connection.execute(
                "INSERT INTO claude_session_entries (project_key, session_id, entry) "
                f"SELECT '{PROJECT}', 'session-' || s, {SMALL_ENTRY} "
                f"FROM {every_entry(sessions, entries, first)}".encode()
            )


def _install() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotSupported("node and npm are not installed")
    if not (_MODULES / "node_modules" / "postgres").is_dir():
        _MODULES.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--prefix", str(_MODULES), "postgres@3"]
        if subprocess.run(command, check=False).returncode:
            raise NotSupported("npm can't install `postgres`")
