"""This package: the SDK's store over an AsyncEngine and an Engine, and the synchronous repository."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import psycopg
from claude_agent_sdk import fold_session_summary, list_sessions_from_store
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.entries import Entry
from benchmarks.peers import PROJECT, Peer
from benchmarks.peers.sql import SMALL_ENTRY, every_entry, without_indexes
from benchmarks.server import Address
from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.sdk import SQLAlchemySessionStore


class _Ours(Peer):
    equivalent: ClassVar[str] = "the contract, with every guarantee"

    _store: Any

    async def setup(self, address: Address) -> None:
        engine = create_engine(address.url("postgresql+psycopg"))
        migrations.upgrade(engine)
        engine.dispose()
        self._address = address
        await self.open(address)

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        batch: Any = entries if isinstance(entries, list) else list(entries)
        await self._store.append(_key(session, subpath), batch)

    async def load(self, session: str) -> None:
        assert await self._store.load(_key(session))

    async def list_sessions(self) -> None:
        assert await self._store.list_sessions(PROJECT)

    async def list_for_people(self, limit: int) -> None:
        assert len(await list_sessions_from_store(self._store, "/home/dev/project", limit)) == limit

    async def list_subkeys(self, session: str) -> None:
        assert await self._store.list_subkeys(_key(session))

    async def delete(self, session: str) -> None:
        await self._store.delete(_key(session))

    async def fill(self, sessions: int, entries: int, *, first: int = 0) -> None:
        """Fill the tables as appends would, including summaries."""
        summary = fold_session_summary(None, _key("any"), [_SMALL_PROMPT])
        with without_indexes(self._address, "claude_session_entries") as connection:
            connection.execute(
                "INSERT INTO claude_session_entries (project_key, session_id, dedup_key, entry, "
                "position, is_first, size, said_at, type) "
                f"SELECT '{PROJECT}', 'session-' || s, decode(md5(s || '.' || i), 'hex'), {SMALL_ENTRY}, "
                "i, CASE WHEN i = 1 THEN true END, 250, '2026-05-01T10:00:00Z', "
                "CASE WHEN i % 3 = 0 THEN 'user' ELSE 'assistant' END "
                f"FROM {every_entry(sessions, entries, first)}".encode()
            )
        with psycopg.connect(self._address.dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO claude_sessions "
                "(project_key, session_id, next_position, main_position, data, updated_at, entries) "
                "SELECT project_key, session_id, max(position) + 1, max(position), %s, max(created_at), "
                "count(*) "
                "FROM claude_session_entries WHERE session_id LIKE 'session-%%' "
                "GROUP BY project_key, session_id ON CONFLICT DO NOTHING",
                [json.dumps(summary["data"])],
            )
            connection.execute("VACUUM (ANALYZE) claude_sessions")


class OursAsync(_Ours):
    label: ClassVar[str] = "boocode_sessions (AsyncEngine)"

    _engine: AsyncEngine

    async def open(self, address: Address) -> None:
        self._engine = create_async_engine(address.url("postgresql+psycopg"))
        self._store = SQLAlchemySessionStore(self._engine)

    async def close(self) -> None:
        await self._engine.dispose()


class OursAsyncpg(OursAsync):
    label: ClassVar[str] = "boocode_sessions (AsyncEngine, asyncpg)"

    async def open(self, address: Address) -> None:
        self._engine = create_async_engine(address.url("postgresql+asyncpg"))
        self._store = SQLAlchemySessionStore(self._engine)


class OursThreads(_Ours):
    label: ClassVar[str] = "boocode_sessions (Engine)"

    _engine: Engine

    async def open(self, address: Address) -> None:
        self._engine = create_engine(address.url("postgresql+psycopg"))
        self._store = SQLAlchemySessionStore(self._engine)

    async def close(self) -> None:
        self._engine.dispose()


class OursListened(OursAsync):
    """With a listener on every statement, like the host's OpenTelemetry or Sentry."""

    label: ClassVar[str] = "boocode_sessions (AsyncEngine with a statement listener)"

    async def open(self, address: Address) -> None:
        await super().open(address)
        event.listen(self._engine.sync_engine, "before_cursor_execute", _note)
        event.listen(self._engine.sync_engine, "after_cursor_execute", _note)


def _note(*told: object) -> None:
    statement = told[2]
    assert isinstance(statement, str)


class _Blocking:
    """The repository's methods as blocking coroutines, to measure it without thread or greenlet switches."""

    def __init__(self, engine: Engine) -> None:
        self._repository = ClaudeSessionRepository(engine)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method of the repository
        method = getattr(self._repository, name)

        async def call(*arguments: Any) -> Any:  # noqa: ANN401 - its arguments
            return method(*arguments)

        return call


class OursBlocking(OursThreads):
    label: ClassVar[str] = "boocode_sessions (sync repository)"

    async def open(self, address: Address) -> None:
        self._engine = create_engine(address.url("postgresql+psycopg"))
        self._store = _Blocking(self._engine)


_SMALL_PROMPT: Any = {
    "type": "user",
    "uuid": "0",
    "timestamp": "2026-05-01T10:00:00.000Z",
    "cwd": "/home/dev/project",
    "gitBranch": "main",
    "message": {"role": "user", "content": "what happened in turn 3 of 1"},
}


def _key(session: str, subpath: str | None = None) -> SessionKey:
    key: SessionKey = {"project_key": PROJECT, "session_id": session}
    if subpath is not None:
        key["subpath"] = subpath
    return key
