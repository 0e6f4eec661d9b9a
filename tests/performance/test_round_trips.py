"""What each call costs on a network: how often it waits for the server, counted on the wire."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import anyio
import pytest
from claude_agent_sdk import list_sessions_from_store
from sqlalchemy import Engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.fixtures.stores import Awaited, Store
from tests.performance.wire import WireCounter

pytestmark = pytest.mark.anyio

PROJECT = "-home-dev-project"
KEY = {"project_key": PROJECT, "session_id": "steady"}
STEADY = 8
"""Calls after which psycopg has prepared its statement, which takes a round trip once."""

_numbers = count()


@pytest.fixture
def wire(postgres_database: Database) -> Iterator[WireCounter]:
    made = WireCounter(make_url(postgres_database.url))
    yield made
    made.close()


def listen_to(engine: Engine) -> None:
    """As a host's logging and tracing do."""
    event.listen(engine, "before_cursor_execute", lambda *_: None)
    event.listen(engine, "after_cursor_execute", lambda *_: None)


@pytest.fixture(params=[False, True], ids=["", "listened to"])
def listened_to(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=["repository", "engine", "async-engine"])
async def store(request: pytest.FixtureRequest, wire: WireCounter, listened_to: bool) -> AsyncIterator[Store]:
    if request.param == "async-engine":
        async_engine = create_async_engine(wire.url)
        if listened_to:
            listen_to(async_engine.sync_engine)
        yield SQLAlchemySessionStore(async_engine)
        await async_engine.dispose()
    else:
        engine = create_engine(wire.url)
        if listened_to:
            listen_to(engine)
        repository = request.param == "repository"
        yield Awaited(ClaudeSessionRepository(engine)) if repository else SQLAlchemySessionStore(engine)
        engine.dispose()


def entries(how_many: int) -> list[dict[str, Any]]:
    return [
        {"type": "user", "uuid": f"u-{next(_numbers)}", "message": {"role": "user", "content": "hello"}}
        for _ in range(how_many)
    ]


async def round_trips_of(wire: WireCounter, call: Callable[[], Awaitable[object]]) -> list[int]:
    """Turnarounds of each of three calls in the steady state."""
    for _ in range(STEADY):
        await call()
    counted: list[int] = []
    for _ in range(3):
        wire.take()
        await call()
        counted.append(wire.take())
    return counted


@pytest.mark.parametrize("size", [1, 2, 100, 500])
async def test_a_writer_that_keeps_its_session_appends_in_one_round_trip(
    store: Store, wire: WireCounter, size: int
) -> None:
    assert await round_trips_of(wire, lambda: store.append(KEY, entries(size))) == [1, 1, 1]


async def test_a_subagent_of_that_session_appends_in_one_round_trip(store: Store, wire: WireCounter) -> None:
    key = {**KEY, "subpath": "subagents/agent-1"}
    await store.append(KEY, entries(1))
    assert await round_trips_of(wire, lambda: store.append(key, entries(1))) == [1, 1, 1]


async def test_every_reading_takes_one_round_trip(store: Store, wire: WireCounter) -> None:
    key = {**KEY, "session_id": str(uuid4())}  # the steady session has thousands of entries by now
    await store.append(key, entries(500))
    await store.append({**key, "subpath": "subagents/agent-2"}, entries(1))
    readings: dict[str, Callable[[], Awaitable[object]]] = {
        "load": lambda: store.load(key),
        "list_sessions": lambda: store.list_sessions(PROJECT),
        "list_session_summaries": lambda: store.list_session_summaries(PROJECT),
        "list_subkeys": lambda: store.list_subkeys(key),
    }
    counted = {name: await round_trips_of(wire, call) for name, call in readings.items()}
    assert counted == {name: [1, 1, 1] for name in readings}


async def test_the_sdks_own_listing_takes_two(store: Store, wire: WireCounter) -> None:
    await store.append(KEY, entries(3))
    any_store: Any = store
    listed = await round_trips_of(
        wire, lambda: list_sessions_from_store(any_store, "/home/dev/project", limit=5)
    )
    assert listed == [2, 2, 2]


async def test_fifty_sessions_of_one_store_share_their_round_trips(
    store: Store, wire: WireCounter, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["store"] == "repository":
        pytest.skip("it blocks: nobody else can call meanwhile")

    async def write(session: str, how_many: int) -> None:
        for _ in range(how_many):
            await store.append({"project_key": PROJECT, "session_id": session}, entries(1))

    async def everybody(how_many: int) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(write, f"shared-{number}", how_many)

    await everybody(STEADY)
    wire.take()
    await everybody(10)
    taken = wire.take()
    assert taken <= 150, (
        "500 appends in batches of 25, each begun, sent and committed: 60, and some to begin with"
    )
