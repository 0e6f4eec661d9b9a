"""An append of an agent lands once or not at all: when its answer is lost, and when it comes too late."""

from collections.abc import Iterator
from typing import cast

import anyio
import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import OperationalError

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreEntry, SessionStoreError
from boocode_sessions._core.statements.append import Condition
from boocode_sessions.agents import AgentSessions, FencedError, Holder, Lease, Settlement
from boocode_sessions.agents.database import Database as AgentDatabase
from boocode_sessions.agents.store import FencedStore
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.agents.statements import counted
from tests.fixtures.databases import Database
from tests.reliability.proxy import Cut, Proxy

pytestmark = pytest.mark.anyio

SESSION = "6f0c2f0e-5a39-4a4e-9a8c-0a4f5f1a0001"
KEY: SessionKey = {"project_key": "p", "session_id": SESSION}

on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])
"""SQLite has one writer at a time."""


def lines(*texts: str) -> list[SessionStoreEntry]:
    """Entries without a uuid: nothing in them tells whether they have landed."""
    return [cast("SessionStoreEntry", {"type": "mode", "text": text}) for text in texts]


def take(connection: Connection, chat_id: str, holder: str, seconds: float = 30) -> Lease:
    return AgentSessions().acquire(
        connection,
        chat_id,
        "claude",
        holder=Holder(holder, "host", 1),
        project_key="p",
        session_id=SESSION,
        seconds=seconds,
    )


async def held(engine: Engine, chat_id: str, holder: str = "one", seconds: float = 30) -> FencedStore:
    database = AgentDatabase(engine, None, 20)
    lease = await database.run("take the chat", lambda connection: take(connection, chat_id, holder, seconds))
    writer = AgentSessions()
    return FencedStore(SQLAlchemySessionStore(engine), database, writer, Condition(writer.fence), lease)


@pytest.fixture
def shaky_engine(proxy: Proxy) -> Iterator[Engine]:
    engine = create_engine(proxy.url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("cut", Cut)
async def test_an_append_whose_answer_is_lost_is_sent_again_and_lands_once(
    shaky_engine: Engine, proxy: Proxy, postgres_database: Database, cut: Cut
) -> None:
    key: SessionKey = {"project_key": "p", "session_id": f"cut {cut.value}"}
    store = await held(shaky_engine, cut.value)
    batch = lines("b", "c")
    await store.append(key, lines("a"))
    proxy.cut(cut)
    with pytest.raises(SessionStoreError):
        await store.append(key, batch)
    assert store.is_behind
    await store.append(key, batch)
    assert not store.is_behind
    await store.append(key, lines("d"))
    observer = postgres_database.engine()
    assert ClaudeSessionRepository(observer).load(key) == lines("a", "b", "c", "d")
    observer.dispose()


@pytest.mark.parametrize("cut", Cut)
async def test_what_a_turn_has_spent_is_added_once_when_the_answer_is_lost(
    shaky_engine: Engine, proxy: Proxy, cut: Cut
) -> None:
    store = await held(shaky_engine, f"settle {cut.value}")
    lease, writer = store.lease, AgentSessions()
    database = AgentDatabase(shaky_engine, None, 20)
    number = lease.next_settlement()
    spent = Settlement(cost_usd=0.5, turns=1, release=False)

    async def settle() -> None:
        await database.run("settle", lambda connection: writer.settle(connection, lease, number, spent))

    proxy.cut(cut)
    with pytest.raises(SessionStoreError):
        await settle()
    await settle()
    again = await held(shaky_engine, lease.chat_id)
    assert again.lease.turns == 1


async def test_a_late_append_is_refused_and_nothing_of_it_is_written(engine: Engine) -> None:
    late = await held(engine, "chat", seconds=-1)
    await late.append(KEY, lines("a"))
    other = await held(engine, "chat", "other")
    with pytest.raises(FencedError):
        await late.append(KEY, lines("too late"))
    await other.append(KEY, lines("b"))
    assert late.is_fenced
    assert ClaudeSessionRepository(engine).load(KEY) == lines("a", "b")


@on_postgresql
async def test_nobody_takes_a_chat_while_an_append_of_its_holder_is_under_way(
    engine: Engine,
) -> None:
    store = await held(engine, "chat", seconds=-1)
    with engine.begin() as appending, engine.begin() as taking:
        assert appending.execute(select(AgentSessions().fence), store.fence_parameters).scalar()
        taking.execute(text("SET LOCAL lock_timeout = 50"))
        with pytest.raises(OperationalError, match="lock"):
            take(taking, "chat", "other")


@on_postgresql
async def test_an_append_that_meets_a_takeover_waits_for_it_and_is_refused(engine: Engine) -> None:
    late = await held(engine, "chat", seconds=-1)
    await late.append(KEY, lines("a"))
    with engine.begin() as taking:
        take(taking, "chat", "other")
        async with anyio.create_task_group() as group:
            group.start_soon(_refused, late)
            await _until_somebody_waits(engine)
            taking.commit()
    assert ClaudeSessionRepository(engine).load(KEY) == lines("a")


async def _refused(late: FencedStore) -> None:
    with pytest.raises(FencedError):
        await late.append(KEY, lines("too late"))


async def _until_somebody_waits(engine: Engine) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with anyio.fail_after(10):
        while True:
            with engine.connect() as connection:
                if connection.execute(waiting).scalar():
                    return
            await anyio.sleep(0.01)


async def test_an_append_that_was_given_up_does_not_land_behind_a_repair(engine: Engine) -> None:
    store = await held(engine, "chat")
    before = dict(store.fence_parameters)
    with engine.begin() as connection:
        AgentSessions().repair(connection, store.lease, store.lease.next_repair())
        assert not connection.execute(select(AgentSessions().fence), before).scalar()
        assert connection.execute(select(AgentSessions().fence), store.fence_parameters).scalar()


async def test_a_fenced_append_takes_as_many_statements_as_any_other(engine: Engine) -> None:
    store = await held(engine, "chat")
    await store.append(KEY, lines("a"))
    with counted(engine) as statements:
        await store.append(KEY, lines("b"))
    assert len(statements) == (1 if engine.dialect.name == "postgresql" else 2)


async def test_a_repair_that_fails_between_two_tries_is_no_success_of_the_next(engine: Engine) -> None:
    """The SDK would take it for one, and nobody would be told that the database lacks lines."""
    store = await held(engine, "chat")
    batch = lines("a")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE claude_session_entries RENAME TO entries_away"))
    with pytest.raises(SessionStoreError) as first:
        await store.append(KEY, batch)
    with pytest.raises(SessionStoreError):
        await store.catch_up()
    with pytest.raises(SessionStoreError) as again:
        await store.append(KEY, batch)
    assert str(again.value) == str(first.value)
    await store.append(KEY, lines("b"))  # which waits for the repair, behind the batch that was given up
    assert store.is_behind


async def test_what_comes_after_a_batch_that_was_given_up_does_not_overtake_it(engine: Engine) -> None:
    store = await held(engine, "chat")
    bad = cast("list[SessionStoreEntry]", ["no entry"])
    for _ in range(3):
        with pytest.raises(SessionStoreError):
            await store.append(KEY, bad)
    await store.append(KEY, lines("later"))
    assert store.reads_from_file
    assert store.is_behind
    assert ClaudeSessionRepository(engine).load(KEY) is None
