"""The store that the SDK takes: `ClaudeAgentOptions(session_store=SQLAlchemySessionStore(engine))`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core.append.appender import Appender
from boocode_sessions._core.append.batcher import Combiner, Run
from boocode_sessions._core.keys import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
)
from boocode_sessions._core.unit_of_work import Transactions
from boocode_sessions.repository import ClaudeSessionRepository, in_greenlet

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


class SQLAlchemySessionStore:
    """The SDK's `SessionStore` over an engine of yours.

    `bind`: an Engine, used in worker threads, under asyncio and under trio; or an AsyncEngine, under asyncio,
    which SQLAlchemy needs. The engine is used as it is and never disposed of.

    `schema`: where the tables are, when the connection's search path does not lead there.

    Safe to share between tasks, and over an Engine between event loops. Every method raises a
    SessionStoreError, whose text never holds transcript content.
    """

    def __init__(self, bind: Engine | AsyncEngine, *, schema: str | None = None) -> None:
        self._run: Run
        if isinstance(bind, AsyncEngine):
            engine, self._run = bind.sync_engine, _in_greenlet(bind.dialect.name)
        elif isinstance(bind, Engine):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            engine, self._run = bind, _in_thread
        else:
            raise TypeError(f"bind is an Engine or an AsyncEngine, not {type(bind).__name__}")
        self._repository = ClaudeSessionRepository(engine, schema=schema)
        self._appender = Appender(Transactions(engine, schema))
        self._combiner = Combiner(self._appender, self._run)

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]]) -> None:
        """As ClaudeSessionRepository.append. Not cancelled once under way, so that its outcome is known."""
        if (append := self._appender.prepare(key, entries)) is not None:
            await self._combiner.append(append)

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """As ClaudeSessionRepository.load."""
        return await self._run(self._repository.load, key)

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """As ClaudeSessionRepository.list_sessions."""
        return await self._run(self._repository.list_sessions, project_key)

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """As ClaudeSessionRepository.list_session_summaries."""
        return await self._run(self._repository.list_session_summaries, project_key)

    async def delete(self, key: SessionKey) -> None:
        """As ClaudeSessionRepository.delete."""
        await self._run(self._repository.delete, key)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """As ClaudeSessionRepository.list_subkeys."""
        return await self._run(self._repository.list_subkeys, key)


async def _in_thread(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
    return await anyio.to_thread.run_sync(work, *args)


def _in_greenlet(dialect: str) -> Run:
    async def run(work: Callable[[*_Args], _T], *args: *_Args) -> _T:
        with anyio.CancelScope(shield=True):
            return await in_greenlet(dialect, work, *args)
        raise AssertionError  # for type checkers, which take a CancelScope for one that swallows errors

    return run
