"""A cancelled call holds nobody up, leaves nothing open and, when it is sent again, lands once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import anyio
import pytest
from sqlalchemy import Connection, Engine, text

from boocode_sessions import SessionKey, SessionStoreError, UnavailableError
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.fixtures.subjects import KINDS, Subject, opened
from tests.fixtures.verdicts import Verdict, examine, marked, wait_until

BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def new_session() -> SessionKey:
    return {"project_key": "cancelled", "session_id": str(uuid4())}


class Gate:
    """Other programs that lock our table: nothing that comes after `shut` passes it before `open`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed: list[Connection] = []
        self._watch = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    async def shut(self) -> None:
        """Queues behind who waits for the gate before."""
        waiting = self.waiting() if self._closed else -1
        gate = self._engine.connect()
        self._closed.append(gate)
        lock = text("LOCK TABLE claude_session_entries IN ACCESS EXCLUSIVE MODE")
        self._locking = asyncio.get_running_loop().run_in_executor(None, gate.execute, lock)
        if waiting >= 0:
            await self.until_waiting(waiting + 1)
        else:
            await self._locking

    async def open(self) -> None:
        """Let those pass that came before the next `shut`."""
        gate = self._closed.pop(0)
        await asyncio.get_running_loop().run_in_executor(None, gate.close)
        if self._closed:
            await self._locking

    def waiting(self) -> int:
        return self._count("wait_event_type = 'Lock'")

    def open_transactions(self) -> int:
        return self._count("xact_start IS NOT NULL AND backend_type = 'client backend'")

    async def until_waiting(self, number: int) -> None:
        await until(lambda: self.waiting() == number)

    def close(self) -> None:
        for gate in self._closed:
            gate.close()
        self._watch.close()

    def _count(self, condition: str) -> int:
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
        )
        return int(self._watch.execute(text(query)).scalar_one())


@pytest.fixture
def gate(postgres_database: Database) -> Iterator[Gate]:
    engine = create_engine(postgres_database.url)
    made = Gate(engine)
    yield made
    made.close()
    engine.dispose()


async def until(met: Callable[[], bool], seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while not met():
            await anyio.sleep(0.01)


class Line:
    """Four calls: two at the database, and behind the next gate a leader's and a follower's together."""

    def __init__(self, store: Subject, gate: Gate) -> None:
        self.store = store
        self.gate = gate
        self.first, self.second, self.leader, self.follower = (new_session() for _ in range(4))

    async def form(self) -> "dict[str, asyncio.Task[None]]":
        """The calls, the last two in one statement that waits at the gate."""
        store, gate = self.store, self.gate
        for key in (self.first, self.second, self.leader):
            await store.append(key, marked("before", 0))
        await gate.shut()
        tasks = {
            "first": asyncio.create_task(store.append(self.first, marked("first", 0))),
            "second": asyncio.create_task(store.append(self.second, marked("second", 0))),
        }
        await gate.until_waiting(2)
        await gate.shut()
        tasks["leader"] = asyncio.create_task(store.append(self.leader, self.leaders))
        await asyncio.sleep(0)
        tasks["follower"] = asyncio.create_task(store.append(self.follower, self.followers))
        await asyncio.sleep(0)
        await gate.open()
        await asyncio.gather(tasks["first"], tasks["second"])
        await gate.until_waiting(1)
        return tasks

    leaders = marked("leader", 0)
    followers = marked("follower", 0)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_a_follower_that_is_cancelled_does_not_block_its_session(
    postgres_database: Database, gate: Gate, kind: str
) -> None:
    """Its call is left over by the statement that carried it, and nobody comes to run it alone."""
    async with opened(kind, postgres_database.url) as store:
        line = Line(store, gate)
        tasks = await line.form()
        tasks["follower"].cancel()
        await asyncio.wait([tasks["follower"]])
        await gate.open()
        await tasks["leader"]
        async with asyncio.timeout(5):
            await store.append(line.follower, line.followers)
            await store.append(line.follower, marked("follower", 1))
        stored = await store.load(line.follower)
    assert stored is not None
    assert examine(stored, [("follower", 0, 3), ("follower", 1, 3)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_a_follower_that_is_cancelled_and_sent_again_lands_once(
    postgres_database: Database, gate: Gate, kind: str
) -> None:
    """Its statement was under way and lands."""
    async with opened(kind, postgres_database.url) as store:
        line = Line(store, gate)
        await store.append(line.follower, marked("before", 0))
        tasks = await line.form()
        tasks["follower"].cancel()
        await asyncio.wait([tasks["follower"]])
        await gate.open()
        await store.append(line.follower, line.followers)
        await tasks["leader"]
        stored = await store.load(line.follower)
    assert stored is not None
    assert examine(stored, [("before", 0, 3), ("follower", 0, 3)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_a_leader_that_is_cancelled_by_force_leaves_nobody_waiting_or_doubled(
    postgres_database: Database, gate: Gate, kind: str
) -> None:
    async with opened(kind, postgres_database.url) as store:
        line = Line(store, gate)
        await store.append(line.follower, marked("before", 0))
        tasks = await line.form()
        tasks["leader"].cancel()
        with pytest.raises(UnavailableError):
            await tasks["follower"]
        await asyncio.wait([tasks["leader"]])
        assert tasks["leader"].cancelled()
        again = asyncio.create_task(store.append(line.follower, line.followers))
        await asyncio.sleep(0.05)
        await gate.open()
        async with asyncio.timeout(5):
            await again
            await store.append(line.leader, line.leaders)
        for key, writer in ((line.leader, "leader"), (line.follower, "follower")):
            stored = await store.load(key)
            assert stored is not None
            assert examine(stored, [("before", 0, 3), (writer, 0, 3)]).wrong == 0
        await until(lambda: gate.open_transactions() == 0)
