"""Many processes write to one session and its subagents: whole batches, in order, and nothing missed."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import anyio
import pytest
from sqlalchemy import Engine, select

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, RetryableError, SessionKey
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from boocode_sessions.engine import create_engine
from boocode_sessions.retention import prune
from tests.fixtures.databases import Database
from tests.reliability.subjects import opened
from tests.reliability.verdicts import SOAK, Verdict, examine, marked, scaled
from tests.reliability.writers import Fleet, Order, a_fleet

KINDS = ("repository", "store over Engine", "store over AsyncEngine")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with a_fleet() as made:
        yield made


def new_session() -> SessionKey:
    return {"project_key": "processes", "session_id": str(uuid4())}


def with_subagents(key: SessionKey, number: int) -> list[SessionKey]:
    keys: list[SessionKey] = [key]
    for n in range(number):
        keys.append({**key, "subpath": f"subagents/agent-{n}"})  # noqa: PERF401 - typed as a key
    return keys


def verdict_of(repository: ClaudeSessionRepository, fleet: Fleet, key: SessionKey) -> Verdict:
    """Of one transcript, with its summary."""
    stored = repository.load(key) or []
    if "subpath" not in key:
        (summary,) = [
            s
            for s in repository.list_session_summaries(key["project_key"])
            if s["session_id"] == key["session_id"]
        ]
        assert summary["data"] == fold(None, transcript_of(key), stored), "the summary lost a fold"
    return examine(stored, fleet.acknowledged(key))


class Follower(threading.Thread):
    """Reads what comes after the last id that it has seen."""

    def __init__(self, engine: Engine, key: SessionKey) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._key = key
        self.seen: list[int] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            self.read()
            time.sleep(0.002)

    def read(self) -> None:
        new = (
            select(ClaudeSessionEntry.id)
            .where(
                ClaudeSessionEntry.project_key == self._key["project_key"],
                ClaudeSessionEntry.session_id == self._key["session_id"],
                ClaudeSessionEntry.id > (self.seen[-1] if self.seen else 0),
            )
            .order_by(ClaudeSessionEntry.id)
        )
        with self._engine.connect().execution_options(boocode_sessions_reading=True) as connection:
            self.seen += connection.execute(new).scalars()


def test_processes_that_write_to_one_session_never_mix(
    database: Database, engine: Engine, fleet: Fleet, publish: Callable[[Verdict], None]
) -> None:
    key = new_session()
    keys = with_subagents(key, 2)
    follower = Follower(engine, key)
    follower.start()
    batches = scaled(20 if database.dialect == "postgresql" else 12)
    for number in range(6):
        kind = KINDS[number % 3]
        fleet.start(Order(f"w{number}", kind, database.url, keys, batches=batches, attempts=3))
    assert [writer.join(60 * SOAK) for writer in fleet.writers] == [0] * 6
    follower.stopped.set()
    follower.join()
    follower.read()
    repository = ClaudeSessionRepository(engine)
    total = Verdict(runs=0)
    for one in keys:
        total += verdict_of(repository, fleet, one)
    total.runs, total.writers = 1, 6
    assert total.appends == 6 * 3 * batches
    with engine.connect() as connection:
        ids = (
            connection.execute(select(ClaudeSessionEntry.id).order_by(ClaudeSessionEntry.id)).scalars().all()
        )
    assert follower.seen == list(ids), "a reader that follows ids missed entries"
    publish(total)


def test_first_writes_to_a_new_session_do_not_race(
    database: Database, publish: Callable[[Verdict], None]
) -> None:
    writers = 6
    engines = [create_engine(database.url) for _ in range(writers)]
    repositories = [ClaudeSessionRepository(made) for made in engines]
    total = Verdict(runs=0)
    with ThreadPoolExecutor(writers) as threads:
        for _ in range(scaled(12)):
            key = new_session()
            start = threading.Barrier(writers)

            def write(
                number: int, key: SessionKey = key, start: threading.Barrier = start
            ) -> tuple[str, int, int]:
                start.wait()
                repositories[number].append(key, marked(f"w{number}", 0))
                return f"w{number}", 0, 3

            sent = list(threads.map(write, range(writers)))
            total += examine(repositories[0].load(key) or [], sent)
            (summary,) = [
                s
                for s in repositories[0].list_session_summaries("processes")
                if s["session_id"] == key["session_id"]
            ]
            assert summary["data"] == fold(None, transcript_of(key), repositories[0].load(key) or [])
    for made in engines:
        made.dispose()
    total.runs, total.writers = 1, writers
    publish(total)


def check_whole(repository: ClaudeSessionRepository, keys: list[SessionKey], total: Verdict) -> None:
    """Count what is wrong with what is left of the sessions, and hold their listings against it."""
    listed = {s["session_id"] for s in repository.list_sessions("processes")}
    summaries = {s["session_id"]: s for s in repository.list_session_summaries("processes")}
    for key in keys:
        stored = repository.load(key)
        verdict = examine(stored or [], [])
        total.doubled += verdict.doubled
        total.out_of_order += verdict.out_of_order
        total.half_written += verdict.half_written
        if "subpath" not in key:
            assert (key["session_id"] in listed) == (stored is not None)
            if stored is not None:
                assert summaries[key["session_id"]]["data"] == fold(None, transcript_of(key), stored)


def test_appends_deletes_and_prunes_in_any_mix_neither_deadlock_nor_leave_a_part(
    database: Database, publish: Callable[[Verdict], None]
) -> None:
    sessions = [new_session() for _ in range(3)]
    keys = [one for session in sessions for one in with_subagents(session, 1)]
    engines = [create_engine(database.url) for _ in range(7)]
    repositories = [ClaudeSessionRepository(made) for made in engines]
    stop = time.monotonic() + scaled(3)
    deleted = [0]

    def write(number: int) -> int:
        done = 0
        while time.monotonic() < stop:
            key = keys[(done * 7 + number) % len(keys)]
            repositories[number].append(key, marked(f"w{number}", done))
            done += 1
        return done

    def delete(number: int) -> int:
        done = 0
        while time.monotonic() < stop:
            repositories[number].delete(keys[(done * 5 + number) % len(keys)])
            deleted[0] += 1
            done += 1
            time.sleep(0.005)
        return done

    def prune_idle(number: int) -> int:
        done = 0
        while time.monotonic() < stop:
            prune(engines[number], inactive_for=timedelta(milliseconds=2), pause=0)
            done += 1
            time.sleep(0.02)
        return done

    with ThreadPoolExecutor(7) as threads:
        work = [write] * 4 + [delete] * 2 + [prune_idle]
        running = [threads.submit(run, number) for number, run in enumerate(work)]
        try:
            appends = sum(future.result(60) for future in running[:4])
            assert all(future.result(60) for future in running[4:])
        except RetryableError:
            pytest.fail("a deadlock")
    total = Verdict(runs=1, writers=4, appends=appends, entries=appends * 3, faults=0)
    check_whole(repositories[0], keys, total)
    for made in engines:
        made.dispose()
    publish(total)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "anyio_backend"),
    [("store over Engine", "asyncio"), ("store over Engine", "trio"), ("store over AsyncEngine", "asyncio")],
)
async def test_fifty_sessions_of_one_store_keep_their_order(
    database: Database, kind: str, publish: Callable[[Verdict], None]
) -> None:
    sessions = [new_session() for _ in range(50)]
    rounds = scaled(6)
    total = Verdict(runs=0)
    async with opened(kind, database.url) as store:

        async def write(number: int, session: SessionKey) -> None:
            keys = with_subagents(session, 1)
            for round_ in range(rounds):
                for key in keys:
                    await store.append(key, marked(f"w{number}", round_))

        async with anyio.create_task_group() as tasks:
            for number, session in enumerate(sessions):
                tasks.start_soon(write, number, session)
        for number, session in enumerate(sessions):
            for key in with_subagents(session, 1):
                stored = await store.load(key) or []
                total += examine(stored, [(f"w{number}", n, 3) for n in range(rounds)])
    total.runs, total.writers = 1, 50
    publish(total)
