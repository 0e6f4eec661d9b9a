"""openai-agents: SQLAlchemySession on PostgreSQL and SQLiteSession on a file, as documented."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from agents.extensions.memory import SQLAlchemySession
from agents.memory import SQLiteSession
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.entries import Entry
from benchmarks.peers import NotSupported, Peer
from benchmarks.server import Address


class OpenAIAgents(Peer):
    label: ClassVar[str] = "openai-agents SQLAlchemySession"
    equivalent: ClassVar[str] = "`add_items` with the entries; `get_items`; it has no listing of sessions"

    _engine: AsyncEngine

    async def setup(self, address: Address) -> None:
        await self.open(address)
        await self._session("setup").get_items()

    async def open(self, address: Address) -> None:
        self._engine = create_async_engine(address.url("postgresql+asyncpg"))
        self._sessions: dict[str, SQLAlchemySession] = {}

    async def close(self) -> None:
        await self._engine.dispose()

    def _session(self, session: str) -> SQLAlchemySession:
        if session not in self._sessions:
            self._sessions[session] = SQLAlchemySession(session, engine=self._engine, create_tables=True)
        return self._sessions[session]

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        if subpath is not None:
            raise NotSupported
        items: Any = list(entries)
        await self._session(session).add_items(items)

    async def load(self, session: str) -> None:
        assert await self._session(session).get_items()


class OpenAIAgentsSQLite:
    """SQLiteSession over one file. It switches to WAL by itself."""

    label = "openai-agents SQLiteSession"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._sessions: dict[str, SQLiteSession] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    def _session(self, session: str) -> SQLiteSession:
        if session not in self._sessions:
            self._sessions[session] = SQLiteSession(session, self._file)
        return self._sessions[session]

    async def append(self, session: str, entries: Sequence[Entry]) -> None:
        items: Any = list(entries)
        await self._session(session).add_items(items)

    async def load(self, session: str) -> None:
        assert await self._session(session).get_items()
