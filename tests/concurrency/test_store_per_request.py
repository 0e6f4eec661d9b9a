"""A store that is made for one request goes with it: nothing of it stays until the loop ends."""

import gc
import weakref
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import Engine

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository, SessionKey
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database

pytestmark = pytest.mark.anyio

REQUESTS = 20
KEY: SessionKey = {"project_key": "p", "session_id": "s"}


async def use(store: Any, number: int) -> None:
    await store.append(KEY, [{"type": "user", "n": number}])
    await store.append(KEY, [{"type": "user", "n": number}] * 40)
    await store.load(KEY)
    await store.list_sessions("p")


def alive(stores: "list[weakref.ref[Any]]") -> int:
    for _ in range(3):
        gc.collect()
    return sum(store() is not None for store in stores)


def objects() -> dict[str, int]:
    """How many objects of each of our classes there are, and of those that keep things for a loop."""
    gc.collect()
    counted: dict[str, int] = {}
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("boocode_sessions") or kind is anyio.lowlevel.RunVar:
            counted[kind.__qualname__] = counted.get(kind.__qualname__, 0) + 1
    return counted


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_stores_over_one_engine_are_freed(engine: Engine, anyio_backend: str) -> None:  # noqa: ARG001 - anyio's
    stores: list[weakref.ref[Any]] = []
    for number in range(REQUESTS):
        store = SQLAlchemySessionStore(engine)
        stores.append(weakref.ref(store))
        await use(store, number)
        del store
    await anyio.sleep(0.05)
    assert alive(stores) <= 1


async def test_stores_over_one_async_engine_are_freed(database: Database) -> None:
    async_engine = database.async_engine()
    stores: list[weakref.ref[Any]] = []
    for number in range(REQUESTS):
        store = SQLAlchemySessionStore(async_engine)
        stores.append(weakref.ref(store))
        await use(store, number)
        del store
    await anyio.sleep(0.05)
    await async_engine.dispose()
    assert alive(stores) <= 1


async def test_repositories_are_freed(engine: Engine, database: Database) -> None:
    async_engine = database.async_engine()
    made: list[weakref.ref[Any]] = []
    for number in range(REQUESTS):
        repository, other = ClaudeSessionRepository(engine), AsyncClaudeSessionRepository(async_engine)
        made += [weakref.ref(repository), weakref.ref(other)]
        repository.append(KEY, [{"type": "user", "n": number}])
        await use(other, number)
        del repository, other
    await async_engine.dispose()
    assert alive(made) <= 2


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_nothing_that_stores_use_piles_up_in_a_loop(engine: Engine, anyio_backend: str) -> None:  # noqa: ARG001 - anyio's
    """What a store keeps for its loop, such as a RunVar's value, may outlive the store itself."""
    for number in range(3):
        await use(SQLAlchemySessionStore(engine), number)
    await anyio.sleep(0.05)
    before = objects()
    for number in range(REQUESTS):
        await use(SQLAlchemySessionStore(engine), number)
    await anyio.sleep(0.05)
    grown = {name: count - before.get(name, 0) for name, count in objects().items()}
    assert {name: more for name, more in grown.items() if more >= REQUESTS // 2} == {}
