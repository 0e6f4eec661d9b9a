"""Which event loops may use one AsyncEngine: those that would hang are told."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    SessionKey,
    SessionStoreError,
    UnsupportedBindError,
    migrations,
    run_sync,
)
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.host.binds import functions_of_a_bind

# Connections of loops that have ended: nobody can close them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def append(store: Any, session_id: str) -> str:
    """In an event loop of its own. Returns what came of it."""
    key: SessionKey = {"project_key": "loops", "session_id": session_id}

    async def append_and_stay() -> None:
        await asyncio.wait_for(store.append(key, [{"type": "user", "uuid": session_id}]), 20)
        await asyncio.sleep(0.3)

    try:
        asyncio.run(append_and_stay())
    except SessionStoreError as error:
        return str(error)
    return "landed"


def appends_at_once(store: Any) -> list[str]:
    """In three event loops."""
    with ThreadPoolExecutor(3) as threads:
        return list(threads.map(lambda n: append(store, f"s{n}"), range(3)))


def over_a_sessionmaker(engine: AsyncEngine) -> AsyncClaudeSessionRepository:
    return AsyncClaudeSessionRepository(async_sessionmaker(engine))


@pytest.mark.parametrize("made", [SQLAlchemySessionStore, AsyncClaudeSessionRepository, over_a_sessionmaker])
def test_a_second_loop_is_told_at_once(database: Database, made: Any) -> None:
    came = appends_at_once(made(create_async_engine(database.async_url)))
    landed = {f"s{n}" for n, outcome in enumerate(came) if outcome == "landed"}
    assert len(landed) == 1
    assert sum("another event loop" in outcome for outcome in came) == 2
    engine = database.engine()
    listed = ClaudeSessionRepository(engine).list_sessions("loops")
    engine.dispose()
    assert {one["session_id"] for one in listed} == landed


def test_without_a_pool_several_may_once_it_was_connected(database: Database) -> None:
    store = SQLAlchemySessionStore(create_async_engine(database.async_url, poolclass=NullPool))
    assert append(store, "first") == "landed"
    assert appends_at_once(store) == ["landed"] * 3


def test_one_after_the_other_may(database: Database) -> None:
    store = SQLAlchemySessionStore(create_async_engine(database.async_url))
    assert [append(store, f"s{n}") for n in range(3)] == ["landed"] * 3


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_every_function_tells_a_second_loop(database: Database, tmp_path: Path) -> None:
    engine = create_async_engine(database.async_url)
    uses_it, done = threading.Event(), threading.Event()

    async def use() -> None:
        async with engine.connect():
            await run_sync(migrations.pending, engine)
            uses_it.set()
            await asyncio.to_thread(done.wait, 60)

    async def also_use() -> None:
        changes = (migrations.upgrade, migrations.pending)
        for function in (*functions_of_a_bind(tmp_path), *changes):
            with pytest.raises(UnsupportedBindError, match="another event loop"):
                await asyncio.wait_for(run_sync(function, engine), 20)

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(asyncio.run, use())
        assert uses_it.wait(20)
        try:
            asyncio.run(also_use())
        finally:
            done.set()
        first.result()
