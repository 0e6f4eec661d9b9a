"""A cancelled call holds nobody up, leaves nothing open and, when it is sent again, lands once."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import anyio
import pytest
from sqlalchemy import Connection, Engine, text

from boocode_sessions import SessionKey, SessionStoreEntry, UnavailableError
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.subjects import KINDS, Subject, opened
from tests.reliability.verdicts import SOAK, Verdict, examine, marked


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
        while not met():  # noqa: ASYNC110 - the server's state, which has no event
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


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_leader_in_a_cancelled_scope_fails_nobody_elses_append(postgres_database: Database) -> None:
    """Those that wait when it comes go with it."""
    keys = [new_session() for _ in range(20)]
    async with opened("store over Engine", postgres_database.url) as store:
        for round_ in range(5):
            async with anyio.create_task_group() as tasks:
                for number, key in enumerate(keys):
                    batch = marked(f"{number}", round_)
                    if number % 3:
                        tasks.start_soon(store.append, key, batch)
                    else:
                        tasks.start_soon(_append_cancelled, store, key, batch)
        for number, key in enumerate(keys):
            stored = await store.load(key) or []
            verdict = examine(stored, [(f"{number}", r, 3) for r in range(5)] if number % 3 else [])
            assert verdict.wrong == 0


async def _append_cancelled(store: Subject, key: SessionKey, batch: list[SessionStoreEntry]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.append(key, batch)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["async repository", "store over Engine", "store over AsyncEngine"])
async def test_a_call_that_is_cancelled_in_its_own_transaction_and_sent_again_lands_once(
    postgres_database: Database, gate: Gate, kind: str
) -> None:
    key, batch = new_session(), marked("writer", 1)
    async with opened(kind, postgres_database.url) as subject, opened(kind, postgres_database.url) as other:
        await subject.append(key, marked("writer", 0))
        await other.append(key, marked("other", 0))
        await gate.shut()
        call = asyncio.create_task(subject.append(key, batch))
        await gate.until_waiting(1)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        again = asyncio.create_task(subject.append(key, batch))
        await asyncio.sleep(0.05)
        await gate.open()
        await again
        stored = await subject.load(key) or []
        await until(lambda: gate.open_transactions() == 0)
    assert examine(stored, [("writer", 0, 3), ("writer", 1, 3), ("other", 0, 3)]).wrong == 0


async def _seconds_of_an_append(subject: Subject) -> float:
    key, taken = new_session(), list[float]()
    for number in range(12):
        started = time.perf_counter()
        await subject.append(key, marked("pace", number, ENTRIES))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


ENTRIES = 60
"""Of a batch: an append then takes several milliseconds, and asyncio's timers know whole ones only."""
CANCELLED = [
    *((kind, "postgresql", "asyncio") for kind in KINDS if kind != "repository"),
    ("store over Engine", "postgresql", "trio"),
    ("async repository", "sqlite", "asyncio"),
    ("store over AsyncEngine", "sqlite", "asyncio"),
    ("store over Engine", "sqlite", "trio"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "dialect", "anyio_backend"), CANCELLED)
@pytest.mark.parametrize("by_force", [False, True], ids=["by a scope", "by force"])
async def test_calls_that_are_cancelled_at_any_moment_leave_nothing_open(
    database: Database, kind: str, anyio_backend: str, by_force: bool, publish: Callable[[Verdict], None]
) -> None:
    if by_force and anyio_backend == "trio":
        by_force = False  # trio has scopes only
    chooser = random.Random(7)
    key = new_session()
    cancelled = 0
    async with opened(kind, database.url, pool_size=2, max_overflow=0) as subject:
        await subject.append(key, marked("writer", 0, ENTRIES))
        pace = await _seconds_of_an_append(subject)  # on this machine, now: a call is to be cut within it
        for number in range(1, 40 * SOAK):
            batch = marked("writer", number, ENTRIES)
            for share in (chooser.random(), chooser.random(), None):
                seconds = 30 if share is None else share * pace
                if not await _cancelled_after(seconds, by_force, subject, key, batch):
                    pace *= 0.8  # so that half of them are cancelled, however quick the machine is by now
                    break
                cancelled += 1
                pace *= 1.2
        stored = await subject.load(key) or []
        if database.dialect == "postgresql":
            engine = create_engine(database.url)
            server = Gate(engine)
            await until(lambda: server.open_transactions() == 0)
            server.close()
            engine.dispose()
    verdict = examine(stored, [("writer", number, ENTRIES) for number in range(40 * SOAK)])
    verdict.faults = cancelled
    async with opened(kind, database.url) as other:
        await other.append(key, marked("other", 0))
    assert cancelled or (kind.startswith("store") and not by_force), "nothing was cancelled"
    publish(verdict)


async def _cancelled_after(
    seconds: float, by_force: bool, subject: Subject, key: SessionKey, batch: list[SessionStoreEntry]
) -> bool:
    """Whether the call was cancelled before its end."""
    if not by_force:
        with anyio.move_on_after(seconds) as scope:
            await subject.append(key, batch)
        return scope.cancelled_caught
    call = asyncio.create_task(subject.append(key, batch))
    await asyncio.wait([call], timeout=seconds)
    call.cancel()
    await asyncio.wait([call])
    return call.cancelled()
