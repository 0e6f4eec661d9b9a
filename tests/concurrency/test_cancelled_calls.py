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

from boocode_sessions import SessionKey, SessionStoreEntry
from boocode_sessions.engine import create_engine
from tests.fixtures.databases import Database
from tests.reliability.subjects import KINDS, SESSION_KINDS, Subject, opened
from tests.reliability.verdicts import Verdict, examine, marked, scaled


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


class Batch:
    """Two calls that wait at the gate in one statement."""

    def __init__(self, store: Subject, gate: Gate) -> None:
        self.store = store
        self.gate = gate
        self.one, self.other = new_session(), new_session()
        self.ones, self.others = marked("one", 0), marked("other", 0)

    async def form(self) -> "dict[str, asyncio.Task[None]]":
        for key in (self.one, self.other):
            await self.store.append(key, marked("before", 0))
        await self.gate.shut()
        tasks = {
            "one": asyncio.create_task(self.store.append(self.one, self.ones)),
            "other": asyncio.create_task(self.store.append(self.other, self.others)),
        }
        await self.gate.until_waiting(1)
        return tasks


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled", ["one", "other"])
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_a_call_of_a_batch_that_is_cancelled_and_sent_again_lands_once(
    postgres_database: Database, gate: Gate, kind: str, cancelled: str
) -> None:
    """Its statement goes on and lands, with the others' calls; nobody is blocked or told otherwise."""
    async with opened(kind, postgres_database.url) as store:
        batch = Batch(store, gate)
        tasks = await batch.form()
        call = tasks.pop(cancelled)
        call.cancel()
        await asyncio.wait([call], timeout=5)
        assert call.cancelled()
        await gate.open()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks.values())
            key, entries = (batch.one, batch.ones) if cancelled == "one" else (batch.other, batch.others)
            await store.append(key, entries)
            await store.append(key, marked(cancelled, 1))
        for key, writer in ((batch.one, "one"), (batch.other, "other")):
            stored = await store.load(key)
            assert stored is not None
            more = [(writer, 1, 3)] if writer == cancelled else []
            assert examine(stored, [("before", 0, 3), (writer, 0, 3), *more]).wrong == 0
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
@pytest.mark.parametrize(
    "kind",
    [
        "async repository",
        "async repository over async_sessionmaker",
        "async repository over asyncpg",
        "store over Engine",
        "store over AsyncEngine",
    ],
)
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
    ("async repository over async_sessionmaker", "postgresql", "asyncio"),
    ("async repository over AsyncSession", "postgresql", "asyncio"),
    ("async repository over asyncpg", "postgresql", "asyncio"),
    ("async repository over async_sessionmaker", "sqlite", "asyncio"),
    ("async repository over AsyncSession", "sqlite", "asyncio"),
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
    calls, cancelled = scaled(40), 0
    async with opened(kind, database.url, pool_size=2, max_overflow=0) as subject:
        await subject.append(key, marked("writer", 0, ENTRIES))
        pace = await _seconds_of_an_append(subject)  # on this machine, now: a call is to be cut within it
        for number in range(1, calls):
            # In a transaction of the caller's only uuids tell that a COMMIT without an answer has landed.
            batch = marked("writer", number, ENTRIES, uuids=kind in SESSION_KINDS)
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
    verdict = examine(stored, [("writer", number, ENTRIES) for number in range(calls)])
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
