"""Nothing waits longer than its limit, and the limits of our engines add up to less than the SDK's 60 s."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import anyio
import pytest
from claude_agent_sdk._internal.transcript_mirror_batcher import SEND_TIMEOUT_SECONDS
from sqlalchemy import Engine, make_url, text
from sqlalchemy.pool import NullPool, QueuePool

from boocode_sessions import (
    ClaudeSessionRepository,
    PoolExhaustedError,
    SessionKey,
    TimedOutError,
    UnavailableError,
    engine,
)
from boocode_sessions.engine import create_async_engine, create_engine
from tests.fixtures.databases import Database
from tests.reliability.subjects import KINDS, opened
from tests.reliability.verdicts import marked

LOCK_TURN = text("UPDATE claude_sessions SET held = held WHERE session_id = :session_id")


@pytest.fixture
def host(database: Database) -> Iterator[Engine]:
    made = create_engine(database.url)
    yield made
    made.dispose()


def new_session() -> SessionKey:
    return {"project_key": "bounded", "session_id": str(uuid4())}


def impatient(database: Database, **timeouts: str) -> str:
    """The URL with server time-outs of its own, which our engines leave as they are."""
    settings = " ".join(f"-c {name}={value}" for name, value in timeouts.items())
    return str(
        make_url(database.url).update_query_dict({"options": settings}).render_as_string(hide_password=False)
    )


def test_the_limits_add_up_to_less_than_the_sdk_waits() -> None:
    waits = engine.POOL_SECONDS + engine.CONNECT_SECONDS + engine.LOCK_SECONDS + engine.STATEMENT_SECONDS
    assert waits < SEND_TIMEOUT_SECONDS
    assert engine.DEAD_PEER_SECONDS + engine.POOL_SECONDS < SEND_TIMEOUT_SECONDS


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("store")])
@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_an_exhausted_pool_is_said_to_be_one_in_time(
    database: Database, host: Engine, kind: str
) -> None:
    """A store's append that waits for a locked session gives its connection back meanwhile."""
    key = new_session()
    subagent: SessionKey = {**key, "subpath": "subagents/agent-1"}
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.3}
    async with opened(kind, database.url, **options) as subject:
        await subject.append(key, marked("w", 0))
        with host.begin() as holding:
            holding.execute(LOCK_TURN, key)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(subject.append, subagent, marked("w", 0))
                await anyio.sleep(0.2)
                started = time.monotonic()
                with pytest.raises(PoolExhaustedError, match="no free connection in time"):
                    await subject.load(key)
                assert time.monotonic() - started < 5
                holding.commit()
        assert len(await subject.load(key) or []) == 3


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_a_turn_that_is_not_given_up_ends_the_wait_at_lock_timeout(
    database: Database, host: Engine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_session()
    monkeypatch.setattr(engine, "LOCK_SECONDS", 1)
    async with opened(kind, impatient(database, lock_timeout="300ms")) as subject:
        await subject.append(key, marked("w", 0))
        with host.begin() as holding:
            holding.execute(LOCK_TURN, key)
            started = time.monotonic()
            with pytest.raises(TimedOutError, match="lock_timeout"):
                await subject.append(key, marked("w", 1))
            # A store steps aside for its other sessions, and tries again for LOCK_SECONDS.
            assert 0.2 < time.monotonic() - started < 6
        await subject.append(key, marked("w", 2))
        assert [e["mark"][1] for e in await subject.load(key) or []] == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_statement_ends_at_statement_timeout(database: Database, host: Engine) -> None:
    key = new_session()
    impatient_engine = create_engine(impatient(database, statement_timeout="300ms"))
    repository = ClaudeSessionRepository(impatient_engine)
    repository.append(key, marked("w", 0))
    with host.begin() as holding:
        holding.execute(text("LOCK TABLE claude_session_entries IN ACCESS EXCLUSIVE MODE"))
        calls: list[Callable[[], object]] = [
            lambda: repository.load(key),
            lambda: repository.append(key, marked("w", 1)),
        ]
        for call in calls:
            with pytest.raises(TimedOutError, match="statement_timeout"):
                call()
    assert len(repository.load(key) or []) == 3
    impatient_engine.dispose()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_locked_file_ends_the_wait_at_the_busy_timeout(
    database: Database, host: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_session()
    monkeypatch.setattr(engine, "LOCK_SECONDS", 0.3)
    impatient_engine = create_engine(database.url)
    repository = ClaudeSessionRepository(impatient_engine)
    repository.append(key, marked("w", 0))
    with host.begin() as holding:
        holding.execute(LOCK_TURN, key)
        started = time.monotonic()
        with pytest.raises(TimedOutError, match="database locked"):
            repository.append(key, marked("w", 1))
        assert time.monotonic() - started < 5
    repository.append(key, marked("w", 2))
    impatient_engine.dispose()


def test_a_server_that_accepts_and_says_nothing_ends_the_wait_at_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://user@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"
        repository = ClaudeSessionRepository(create_engine(url))
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            repository.load(new_session())
        assert time.monotonic() - started < 10


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_our_engines_set_every_limit_that_the_host_has_not_set(
    database: Database, asynchronous: bool
) -> None:
    query = text("SELECT name, setting || unit FROM pg_settings WHERE name = ANY(:names)")
    names = {"names": list(engine.SERVER_TIMEOUTS)}
    found: dict[str, str]
    url = impatient(database, lock_timeout="7000", idle_in_transaction_session_timeout="0")
    if asynchronous:
        async_engine = create_async_engine(url)
        async with async_engine.connect() as connection:
            found = {row[0]: row[1] for row in await connection.execute(query, names)}
        pool = async_engine.sync_engine.pool
        await async_engine.dispose()
    else:
        made = create_engine(url)
        with made.connect() as sync_connection:
            found = {row[0]: row[1] for row in sync_connection.execute(query, names)}
        pool = made.pool
        made.dispose()
    assert found == {
        "statement_timeout": f"{engine.STATEMENT_SECONDS}000ms",
        "lock_timeout": "7000ms",
        "idle_in_transaction_session_timeout": "0ms",
    }
    assert isinstance(pool, QueuePool)
    assert pool.timeout() == engine.POOL_SECONDS


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_what_the_host_says_wins_over_our_defaults(database: Database) -> None:
    url = make_url(database.url).update_query_dict({"connect_timeout": "3"})
    made = create_engine(url, connect_args={"keepalives_idle": 77}, pool_timeout=4)
    with made.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        parameters = driver_connection.info.get_parameters()
    assert isinstance(made.pool, QueuePool)
    assert made.pool.timeout() == 4
    made.dispose()
    assert (parameters["connect_timeout"], parameters["keepalives_idle"]) == ("3", "77")
    assert parameters["tcp_user_timeout"] == str(engine.DEAD_PEER_SECONDS * 1000)


def test_an_engine_without_a_queue_takes_no_pool_timeout(database: Database) -> None:
    made = create_engine(database.url, poolclass=NullPool)
    assert ClaudeSessionRepository(made).load(new_session()) is None
    made.dispose()
    in_memory = create_engine("sqlite://")
    in_memory.dispose()
