"""Stores for the end-to-end tests."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions._core.keys import KeyLike
from boocode_sessions.sdk import SQLAlchemySessionStore

EngineKind = Literal["Engine", "AsyncEngine"]


@asynccontextmanager
async def store_over(kind: EngineKind, url: str) -> AsyncIterator[SQLAlchemySessionStore]:
    """Yield a store over a new engine for `url`, and dispose of the engine afterwards."""
    if kind == "AsyncEngine":
        async_engine = create_async_engine(url)
        try:
            yield SQLAlchemySessionStore(async_engine)
        finally:
            await async_engine.dispose()
    else:
        engine = create_engine(url)
        try:
            yield SQLAlchemySessionStore(engine)
        finally:
            engine.dispose()


class WatchedStore(SQLAlchemySessionStore):
    """The store, with lists of its appends and loads."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.appended: list[tuple[KeyLike, list[Mapping[str, Any]]]] = []
        self.loaded: list[KeyLike] = []

    async def append(self, key: KeyLike, entries: Sequence[Mapping[str, Any]]) -> None:
        self.appended.append((key, list(entries)))
        await super().append(key, entries)

    async def load(self, key: KeyLike) -> list[Any] | None:
        self.loaded.append(key)
        return await super().load(key)
