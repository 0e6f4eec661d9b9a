"""The store's threads are its own: those of anyio may all wait for the store."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from sqlalchemy import Engine, select

from boocode_sessions import SessionKey
from boocode_sessions._core.background import MAX_THREADS
from boocode_sessions.agents.database import Database as AgentsDatabase
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.reliability.subjects import opened
from tests.reliability.verdicts import Verdict, examine, marked


def key_of(number: int) -> SessionKey:
    return {"project_key": "threads", "session_id": f"s{number}"}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_as_many_threads_as_anyio_lends_may_call_the_store(
    database: Database, anyio_backend: str
) -> None:
    """As an endpoint that is no coroutine does, in FastAPI and Starlette."""
    lent = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    together = threading.Barrier(lent)
    async with opened("store over Engine", database.url) as store:

        async def use(number: int) -> None:
            await store.append(key_of(number), marked(anyio_backend, 0))
            assert len(await store.load(key_of(number)) or []) == 3
            assert len(await store.list_sessions("threads")) > 0

        def endpoint(number: int) -> None:
            together.wait(30)  # every thread is taken when the store is called
            anyio.from_thread.run(use, number)

        with anyio.move_on_after(20) as scope:
            async with anyio.create_task_group() as tasks:
                for number in range(lent):
                    # Abandoned, a thread that waits for ever fails the test and not the run.
                    run = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
                    tasks.start_soon(run, endpoint, number)
        assert not scope.cancelled_caught, "they wait for each other"
        total = Verdict(runs=0)
        for number in range(lent):
            total += examine(await store.load(key_of(number)) or [], [(anyio_backend, 0, 3)])
        assert total.wrong == 0


@asynccontextmanager
async def no_thread_left() -> AsyncIterator[None]:
    """As long as it lasts, anyio has none to lend."""
    lent = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    together, leave = threading.Barrier(lent + 1), threading.Event()

    def busy() -> None:
        together.wait(30)
        leave.wait(30)

    async with anyio.create_task_group() as tasks:
        for _ in range(lent):
            tasks.start_soon(anyio.to_thread.run_sync, busy)
        one_more = anyio.CapacityLimiter(1)
        await anyio.to_thread.run_sync(together.wait, 30, limiter=one_more)
        try:
            with anyio.fail_after(15):
                yield
        finally:
            leave.set()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_host_that_uses_all_of_anyios_threads_holds_no_append_up(
    database: Database,
    anyio_backend: str,  # noqa: ARG001 - anyio's
) -> None:
    async with opened("store over Engine", database.url) as store, no_thread_left():
        await store.append(key_of(0), marked("w", 0))
        assert len(await store.load(key_of(0)) or []) == 3


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_reads_that_wait_hold_no_append_up(
    database: Database,
    anyio_backend: str,  # noqa: ARG001 - anyio's
) -> None:
    """They take all threads for reads, as loads do that wait for a lock or for a server that hangs."""
    engine = create_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=30)
    waiting = SQLAlchemySessionStore(engine)
    async with opened("store over Engine", database.url) as store, anyio.create_task_group() as tasks:
        with engine.connect():
            for _ in range(MAX_THREADS + 10):
                tasks.start_soon(waiting.load, key_of(0))
            await anyio.sleep(0.2)
            with anyio.fail_after(15):
                await store.append(key_of(0), marked("w", 0))
                await store.delete(key_of(0))
    engine.dispose()


@pytest.mark.anyio
async def test_nor_what_an_agent_notes_in_the_database(engine: Engine) -> None:
    """Its chat is taken and freed in threads as well."""
    agents = AgentsDatabase(engine, schema=None, seconds=10)
    async with no_thread_left():
        assert await agents.run("look", lambda connection: connection.scalar(select(1))) == 1
