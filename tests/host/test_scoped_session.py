"""A `scoped_session` is asked for its Session in each call: `remove()` begins another one."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import scoped_session, sessionmaker

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    SessionKey,
    adoption,
    run_sync,
)
from boocode_sessions.streaming import iterate_async
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}


def entry(number: int) -> dict[str, Any]:
    return {"type": "user", "n": number}


@pytest.fixture
def registry(engine: Engine) -> Iterator[scoped_session[Any]]:
    made = scoped_session(sessionmaker(engine))
    yield made
    made.remove()


def test_appends_are_committed_by_the_session_of_their_request(
    registry: scoped_session[Any], engine: Engine
) -> None:
    """As web frameworks do it: one repository for the process, a Session for each request."""
    repository = ClaudeSessionRepository(registry)
    for number in range(3):
        repository.append(KEY, [entry(number)])
        registry.commit()
        registry.remove()
    assert ClaudeSessionRepository(engine).load(KEY) == [entry(0), entry(1), entry(2)]


def test_a_rollback_of_the_request_takes_its_append_along(
    registry: scoped_session[Any], engine: Engine
) -> None:
    repository = ClaudeSessionRepository(registry)
    repository.append(KEY, [entry(0)])
    registry.commit()
    registry.remove()
    repository.append(KEY, [entry(1)])
    registry.rollback()
    registry.remove()
    assert ClaudeSessionRepository(engine).load(KEY) == [entry(0)]


def test_a_call_joins_the_transaction_of_the_session_that_is_current(
    registry: scoped_session[Any], engine: Engine
) -> None:
    repository = ClaudeSessionRepository(registry)
    repository.append(KEY, [entry(0)])
    registry.commit()
    registry.remove()
    repository.append(KEY, [entry(1)])
    assert registry().in_transaction(), "the append went elsewhere"
    registry.commit()
    assert repository.load(KEY) == ClaudeSessionRepository(engine).load(KEY) == [entry(0), entry(1)]


def test_threads_use_sessions_of_their_own(database: Database) -> None:
    engine = database.engine()
    registry = scoped_session(sessionmaker(engine))
    repository = ClaudeSessionRepository(registry)
    failed: list[BaseException] = []

    def request(number: int) -> None:
        try:
            repository.append({**KEY, "session_id": f"s{number}"}, [entry(number)])
            registry.commit()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)
        finally:
            registry.remove()

    threads = [threading.Thread(target=request, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    for number in range(8):
        loaded = ClaudeSessionRepository(engine).load({**KEY, "session_id": f"s{number}"})
        assert loaded == [entry(number)]
    registry.remove()
    engine.dispose()


@pytest.mark.anyio
async def test_a_task_commits_what_it_has_appended(async_engine: AsyncEngine) -> None:
    """A registry by tasks, as SQLAlchemy's documentation has it: every call is in its caller's Session."""
    registry = async_scoped_session(async_sessionmaker(async_engine), scopefunc=asyncio.current_task)
    repository = AsyncClaudeSessionRepository(registry)

    async def request(number: int) -> None:
        key: SessionKey = {**KEY, "session_id": f"s{number}"}
        await repository.append(key, [entry(number)])
        assert await repository.load(key) == [entry(number)]
        assert [one async for one in iterate_async(registry, key)] == [entry(number)]
        await run_sync(adoption.backfill, registry)
        assert registry().in_transaction(), "the calls went elsewhere"
        await registry.commit()
        await repository.append(key, [entry(99)])
        await registry.rollback()
        await registry.remove()

    for number in range(4):
        await asyncio.create_task(request(number))
    assert not registry.registry.has()
    stored = AsyncClaudeSessionRepository(async_engine)
    for number in range(4):
        assert await stored.load({**KEY, "session_id": f"s{number}"}) == [entry(number)]
