"""An append waits for its own session only: neither a locked one nor many busy ones hold it up."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
import pytest
from sqlalchemy import Connection, Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.subjects import Subject, opened
from tests.reliability.verdicts import Verdict, examine, marked, wait_until

pytestmark = pytest.mark.anyio

STORES = ["store over Engine", "store over AsyncEngine"]
SECONDS = 5
"""Generous, and less than `lock_timeout`: it is about waiting for somebody else, not about speed."""
POOL_SECONDS = 4
"""An append waits as long for a connection: less than by default, as fewer of them wait in a queue."""


def new_session() -> SessionKey:
    return {"project_key": "line", "session_id": str(uuid4())}


@pytest.fixture
def host(postgres_database: Database) -> Iterator[Engine]:
    made = create_engine(postgres_database.url)
    yield made
    made.dispose()


class Locked:
    """Sessions that another program's open transactions have appended to."""

    def __init__(self, host: Engine, keys: list[SessionKey]) -> None:
        self._host = host
        self._open: list[Connection] = []
        for key in keys:
            connection = host.connect()
            self._open.append(connection)
            connection.begin()
            ClaudeSessionRepository(connection).append(key, marked("theirs", 0))

    def let_go(self) -> None:
        while self._open:
            connection = self._open.pop()
            connection.rollback()
            connection.close()

    def waiting(self) -> int:
        """How many wait for a lock."""
        with self._host.connect() as connection:
            query = text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return int(connection.execute(query).scalar_one())


@asynccontextmanager
async def locked_by_others(host: Engine, *keys: SessionKey) -> AsyncIterator[Locked]:
    made = await anyio.to_thread.run_sync(Locked, host, list(keys))
    try:
        yield made
    finally:
        await anyio.to_thread.run_sync(made.let_go)


async def append_in_time(store: Subject, key: SessionKey, *batches: list[Any]) -> None:
    with anyio.fail_after(SECONDS):
        for batch in batches:
            await store.append(key, batch)


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("size", [1, 3, 600], ids=["one entry", "three", "600"])
@pytest.mark.parametrize("locked", [1, 2, 4])
async def test_a_locked_session_delays_nobody_elses_append(
    postgres_database: Database, host: Engine, kind: str, size: int, locked: int
) -> None:
    """It may wait in a batch with others, or hold all of a store's connections to the database."""
    stuck, free = [new_session() for _ in range(locked)], [new_session() for _ in range(6)]
    async with opened(kind, postgres_database.url) as store:
        for key in (*stuck, *free):
            await store.append(key, marked("ours", 0))
        async with anyio.create_task_group() as tasks, locked_by_others(host, *stuck) as others:
            for key in stuck:
                tasks.start_soon(store.append, key, marked("ours", 1, size))
            for key in free[:3]:  # these go with them
                tasks.start_soon(append_in_time, store, key, marked("ours", 1), marked("ours", 2, 40))
            with anyio.fail_after(SECONDS):
                while not await anyio.to_thread.run_sync(others.waiting):  # noqa: ASYNC110 - the server has no event
                    await anyio.sleep(0.01)
            for key in free[3:]:  # these come when they wait already
                tasks.start_soon(append_in_time, store, key, marked("ours", 1), marked("ours", 2, 40))
            with anyio.fail_after(SECONDS):
                for key in free:
                    while len(await store.load(key) or []) < 46:  # noqa: ASYNC110 - the server has no event
                        await anyio.sleep(0.01)
        total = Verdict(runs=0)
        for key in stuck:
            total += examine(await store.load(key) or [], [("ours", 0, 3), ("ours", 1, size)])
    assert total.wrong == 0


@pytest.mark.parametrize("kind", STORES)
async def test_busy_sessions_do_not_keep_an_idle_one_waiting(postgres_database: Database, kind: str) -> None:
    """Each of 25 appends again as soon as it may. An idle one gets its turn all the same."""
    busy, idle = [new_session() for _ in range(25)], new_session()
    counts = dict.fromkeys(range(25), 0)
    passed: list[int] = []
    stop = anyio.Event()

    async with opened(kind, postgres_database.url) as store:

        async def work(number: int) -> None:
            while not stop.is_set():
                await store.append(busy[number], marked("busy", counts[number], 2))
                counts[number] += 1

        await store.append(idle, marked("idle", 0))
        async with anyio.create_task_group() as tasks:
            for number in range(25):
                tasks.start_soon(work, number)
            while min(counts.values()) < 2:  # noqa: ASYNC110 - the server has no event
                await anyio.sleep(0.01)
            for number in range(1, 11):
                before = sum(counts.values())
                with anyio.fail_after(SECONDS):
                    await store.append(idle, marked("idle", number))
                passed.append(sum(counts.values()) - before)
                await anyio.sleep(0.05)
            stop.set()
        stored = await store.load(idle) or []
    assert examine(stored, [("idle", number, 3) for number in range(11)]).wrong == 0
    # In a fair order each busy session comes once or twice in between: counted, since a time says little.
    assert sorted(passed)[len(passed) // 2] <= 3 * 25, f"the busy ones went first: {passed}"


@pytest.mark.parametrize("kind", STORES)
async def test_thousands_of_first_appends_at_once_land_over_our_own_pool(
    postgres_database: Database, kind: str
) -> None:
    """Sessions that the process does not know yet, as after its start."""
    count = 2_000
    project = str(uuid4())
    async with opened(kind, postgres_database.url, pool_timeout=POOL_SECONDS) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                key: SessionKey = {"project_key": project, "session_id": f"s{number}"}
                tasks.start_soon(store.append, key, marked(f"w{number}", 0, 1))
        assert len(await store.list_sessions(project)) == count


@pytest.mark.parametrize("kind", STORES)
async def test_hundreds_of_known_sessions_at_once_land_after_another_process_wrote(
    postgres_database: Database, kind: str
) -> None:
    """None is as this process left it: each has to be looked at again."""
    count = 400
    project = str(uuid4())
    keys: list[SessionKey] = [{"project_key": project, "session_id": f"s{n}"} for n in range(count)]
    async with (
        opened(kind, postgres_database.url, pool_timeout=POOL_SECONDS) as ours,
        opened(kind, postgres_database.url, pool_timeout=POOL_SECONDS) as theirs,
    ):
        for store, number in ((ours, 0), (theirs, 1), (ours, 2)):
            async with anyio.create_task_group() as tasks:
                for key in keys:
                    tasks.start_soon(store.append, key, marked("w", number, 1))
        assert len(await ours.list_sessions(project)) == count
        for key in keys[::97]:
            stored = await ours.load(key) or []
            assert examine(stored, [("w", number, 1) for number in range(3)]).wrong == 0


def test_a_locked_session_delays_no_other_thread(postgres_database: Database, host: Engine) -> None:
    engine = create_engine(postgres_database.url)
    repository = ClaudeSessionRepository(engine)
    stuck, free = new_session(), new_session()
    for key in (stuck, free):
        repository.append(key, marked("ours", 0))
    locked = Locked(host, [stuck])
    waiting = threading.Thread(target=repository.append, args=(stuck, marked("ours", 1, 600)))
    waiting.start()
    try:
        assert wait_until(lambda: locked.waiting() > 0)
        done = threading.Thread(target=repository.append, args=(free, marked("ours", 1, 600)))
        done.start()
        done.join(SECONDS)
        assert not done.is_alive()
    finally:
        locked.let_go()
        waiting.join(30)
        engine.dispose()
