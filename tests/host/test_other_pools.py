"""A host's pool may be any of SQLAlchemy's: nothing is lost, and every error is ours."""

import asyncio
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine as plain_async_engine
from sqlalchemy.pool import AssertionPool, NullPool, SingletonThreadPool, StaticPool

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    SchemaMissingError,
    SessionKey,
    SessionStoreError,
    migrations,
    run_sync,
    status,
)
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.reliability.verdicts import Verdict, examine, marked

THREADS, BATCHES = 8, 12
TASKS, TASK_BATCHES = 8, 5
Dispose = Callable[[Engine], Engine]


def write_together(
    repository: ClaudeSessionRepository, keys: list[SessionKey]
) -> tuple[Verdict, list[BaseException]]:
    """Threads that append to sessions, each batch until it lands; what is there, and what was raised."""
    raised: list[BaseException] = []
    landed: dict[int, list[tuple[str, int, int]]] = {number: [] for number in range(THREADS)}

    def write(number: int) -> None:
        for n in range(BATCHES):
            batch = marked(f"w{number}", n, 1 + 20 * (n % 2))
            try:
                repository.append(keys[number % len(keys)], batch)
            except BaseException as error:  # noqa: BLE001 - told to the test
                raised.append(error)
            else:
                landed[number].append((f"w{number}", n, len(batch)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    total = Verdict(runs=0)
    for at, key in enumerate(keys):
        batches = [batch for number in range(at, THREADS, len(keys)) for batch in landed[number]]
        total += examine(repository.load(key) or [], batches)
    return total, raised


def keys_of(count: int) -> list[SessionKey]:
    return [{"project_key": "p", "session_id": f"s{number}"} for number in range(count)]


@pytest.mark.parametrize("made", ["sqlalchemy", "boocode_sessions.engine"])
@pytest.mark.parametrize("sessions", [1, THREADS])
def test_threads_over_one_connection_in_memory_lose_nothing(made: str, sessions: int) -> None:
    """In a process of its own: SQLite can crash where two threads use a connection at once."""
    program = "from tests.host import test_other_pools as tests; tests.use_one_connection"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{program}({made!r}, {sessions})"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr or f"the process ended with {done.returncode}"


def use_one_connection(module: str, sessions: int) -> None:
    """StaticPool gives all threads the same connection: they take turns, or are refused by name."""
    engine = importlib.import_module(module).create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    with engine.begin() as connection:
        migrations.upgrade(connection)
    repository = ClaudeSessionRepository(engine)
    try:
        repository.append({"project_key": "p", "session_id": "first"}, marked("first", 0))
    except SessionStoreError as error:
        assert "StaticPool" in str(error)  # noqa: PT017
        return
    verdict, raised = write_together(repository, keys_of(sessions))
    assert raised == [], "some were refused, and some were not"
    assert verdict.wrong == 0, verdict


def test_an_assertion_pool_raises_errors_of_ours(database: Database, disposing: Dispose) -> None:
    """It allows one connection at a time, and says so with an AssertionError."""
    engine = disposing(sqlalchemy.create_engine(database.url, poolclass=AssertionPool))
    repository = ClaudeSessionRepository(engine)
    key = keys_of(1)[0]
    repository.append(key, marked("w", 0))
    with engine.connect():
        calls: list[Callable[[], object]] = [
            lambda: repository.append(key, marked("w", 1)),
            lambda: repository.append(key, marked("w", 1, 40)),
            lambda: repository.load(key),
            lambda: repository.list_sessions("p"),
            lambda: repository.delete(key),
        ]
        for call in calls:
            with pytest.raises(SessionStoreError):
                call()
    repository.append(key, marked("w", 1))
    assert examine(repository.load(key) or [], [("w", 0, 3), ("w", 1, 3)]).wrong == 0


@pytest.mark.parametrize("sessions", [1, THREADS])
def test_threads_over_an_assertion_pool_lose_nothing(
    database: Database, disposing: Dispose, sessions: int
) -> None:
    engine = disposing(sqlalchemy.create_engine(database.url, poolclass=AssertionPool))
    verdict, raised = write_together(ClaudeSessionRepository(engine), keys_of(sessions))
    assert [error for error in raised if not isinstance(error, SessionStoreError)] == []
    assert verdict.wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_store_over_an_assertion_pool(
    database: Database,
    disposing: Dispose,
    anyio_backend: str,  # noqa: ARG001 - anyio's
) -> None:
    engine = disposing(sqlalchemy.create_engine(database.url, poolclass=AssertionPool))
    store = SQLAlchemySessionStore(engine)
    for number in range(3):
        await store.append(keys_of(1)[0], marked("w", number))
    stored = await store.load(keys_of(1)[0]) or []
    assert examine(stored, [("w", number, 3) for number in range(3)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["repository", "sessionmaker", "store"])
@pytest.mark.parametrize("poolclass", [StaticPool, AssertionPool])
async def test_tasks_over_one_connection_lose_nothing(database: Database, poolclass: Any, kind: str) -> None:
    """Among them the pool that SQLAlchemy gives SQLite in memory: the tasks of a loop share its thread."""
    engine = plain_async_engine(database.async_url, poolclass=poolclass)
    bind = async_sessionmaker(engine) if kind == "sessionmaker" else engine
    store = SQLAlchemySessionStore(engine) if kind == "store" else AsyncClaudeSessionRepository(bind)
    keys = keys_of(TASKS)

    async def write(number: int) -> None:
        for n in range(TASK_BATCHES):
            await store.append(keys[number], marked(f"w{number}", n, 1 + 20 * (n % 2)))
            await store.load(keys[number])

    late = marked("late", 0)
    try:
        await asyncio.gather(*map(write, range(TASKS)))
        waiting = [asyncio.ensure_future(store.append(key, late)) for key in keys]
        await asyncio.sleep(0.01)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for number, key in enumerate(keys):
            if waiting[number].cancelled():
                await store.append(key, late)
            batches = [(f"w{number}", n, 1 + 20 * (n % 2)) for n in range(TASK_BATCHES)]
            assert examine(await store.load(key) or [], [*batches, ("late", 0, len(late))]).wrong == 0
    finally:
        await engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize("poolclass", [StaticPool, AssertionPool])
async def test_tasks_that_migrate_take_turns_too(database: Database, poolclass: Any) -> None:
    engine = plain_async_engine(database.async_url, poolclass=poolclass)
    repository = AsyncClaudeSessionRepository(engine)
    changes = (migrations.upgrade, migrations.pending, migrations.prepare, status.schema_status)
    try:
        await asyncio.gather(
            *(repository.append(key, marked("w", 0)) for key in keys_of(TASKS)),
            *(run_sync(change, engine) for change in changes),
        )
        for key in keys_of(TASKS):
            assert examine(await repository.load(key) or [], [("w", 0, 3)]).wrong == 0
    finally:
        await engine.dispose()


@pytest.mark.parametrize("poolclass", [NullPool, SingletonThreadPool])
def test_threads_over_pools_that_keep_nothing_or_one_for_each(
    database: Database, disposing: Dispose, poolclass: Any
) -> None:
    engine = disposing(create_engine(database.url, poolclass=poolclass))
    verdict, raised = write_together(ClaudeSessionRepository(engine), keys_of(THREADS))
    assert raised == []
    assert verdict.wrong == 0


@pytest.mark.parametrize("module", ["sqlalchemy", "boocode_sessions.engine"])
def test_a_database_in_memory_that_each_thread_has_of_its_own_is_told(module: str) -> None:
    engine = importlib.import_module(module).create_engine("sqlite://")
    repository = ClaudeSessionRepository(engine)
    with pytest.raises(SchemaMissingError, match=r"in memory .* call migrations\.upgrade"):
        repository.load(keys_of(1)[0])
    with engine.connect() as connection:  # the same one again in this thread
        migrations.upgrade(connection)
        connection.commit()
    repository.append(keys_of(1)[0], marked("w", 0))
    raised: list[BaseException] = []

    def load() -> None:
        try:
            repository.load(keys_of(1)[0])
        except SchemaMissingError as error:
            raised.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert "Each thread or connection has a database of its own" in str(raised[0])
    engine.dispose()
