"""The whole contract behind a transaction pooler that knows no prepared statements."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
import sqlalchemy.ext.asyncio
from claude_agent_sdk.testing import run_session_store_conformance
from sqlalchemy import Engine, text

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository, DatabaseError, SessionKey
from boocode_sessions.engine import SERVER_TIMEOUTS, create_async_engine, create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import CONTRACTS, run_store_conformance
from tests.fixtures.databases import Database
from tests.reliability.subjects import KINDS, Subject, opened
from tests.reliability.verdicts import SOAK, Verdict, examine, scaled
from tests.reliability.writers import Order, a_fleet

AS_IT_COMES: dict[str, Any] = {}
OFF: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}
"""Prepared statements: as our engines have them, and turned off by the host."""


@pytest.fixture
def engine(pooled_database: Database) -> Iterator[Engine]:
    made = create_engine(pooled_database.url)
    yield made
    made.dispose()


def emptied(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE claude_session_entries, claude_sessions"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "anyio_backend", "options"),
    [
        ("store over Engine", "asyncio", AS_IT_COMES),
        ("store over Engine", "trio", AS_IT_COMES),
        ("store over AsyncEngine", "asyncio", AS_IT_COMES),
        ("store over Engine", "asyncio", OFF),
        ("store over AsyncEngine", "asyncio", OFF),
    ],
)
async def test_the_sdks_conformance_suite_passes(
    pooled_database: Database, engine: Engine, kind: str, options: dict[str, Any]
) -> None:
    async with opened(kind, pooled_database.url, **options) as store:

        def fresh() -> Subject:
            emptied(engine)
            return store

        for _ in range(2):  # the second time every statement has been run often enough to be prepared
            await run_session_store_conformance(fresh)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "options"),
    [("store over Engine", AS_IT_COMES), ("async repository", AS_IT_COMES), ("store over AsyncEngine", OFF)],
)
async def test_our_conformance_suite_passes(
    pooled_database: Database, kind: str, options: dict[str, Any]
) -> None:
    async with opened(kind, pooled_database.url, **options) as subject:
        report = await run_store_conformance(lambda: subject)
        assert len(report.passed) == len(CONTRACTS)


@pytest.mark.anyio
async def test_asyncpg_appends_and_loads(pooled_database: Database) -> None:
    """PgBouncer repeats the client_encoding as asyncpg writes it, in quotes."""
    engine = create_async_engine(pooled_database.url_over("asyncpg"))
    repository = AsyncClaudeSessionRepository(engine)
    key: SessionKey = {"project_key": "pooled", "session_id": "asyncpg"}
    for number in range(3):
        await repository.append(key, [{"type": "user", "n": number}])
    assert await repository.load(key) == [{"type": "user", "n": number} for number in range(3)]
    await engine.dispose()


def test_many_processes_keep_their_order(
    pooled_database: Database, engine: Engine, publish: Callable[[Verdict], None]
) -> None:
    key: SessionKey = {"project_key": "pooled", "session_id": "s"}
    keys: list[SessionKey] = [key, {**key, "subpath": "subagents/agent-1"}]
    repository = ClaudeSessionRepository(engine)
    with a_fleet() as fleet:
        for number, kind in enumerate(KINDS):
            fleet.start(Order(f"w{number}", kind, pooled_database.url, keys, batches=scaled(15), attempts=3))
        assert [writer.join(60 * SOAK) for writer in fleet.writers] == [0] * len(KINDS)
        total = Verdict(runs=0)
        for one in keys:
            total += examine(repository.load(one) or [], fleet.acknowledged(one))
    total.runs, total.writers = 1, len(KINDS)
    publish(total)


def test_an_engine_of_ours_prepares_nothing_behind_a_pooler_and_sets_nothing_there(engine: Engine) -> None:
    with engine.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        assert driver_connection.prepare_threshold is None
        for name in SERVER_TIMEOUTS:
            assert connection.execute(text(f"SHOW {name}")).scalar_one() == "0", (
                "a time-out of a session would stay for other clients"
            )


def test_a_plain_engine_is_told_what_to_set(pooled_database: Database) -> None:
    """Two clients whose statements have the same names, as any two processes have."""
    engines = [sqlalchemy.create_engine(pooled_database.url, pool_size=1) for _ in range(2)]
    repositories = [ClaudeSessionRepository(made) for made in engines]

    def list_in_turns() -> None:
        for number in range(50):
            repositories[number % 2].list_sessions("pooled")

    with pytest.raises(DatabaseError, match="prepare_threshold=None"):
        list_in_turns()
    for made in engines:
        made.dispose()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.anyio
async def test_a_plain_engine_with_prepare_threshold_none_works(
    pooled_database: Database, asynchronous: bool
) -> None:
    plain = pooled_database.url + "?connect_timeout=5"
    arguments = {"prepare_threshold": None}
    key: SessionKey = {"project_key": "plain", "session_id": str(asynchronous)}
    if asynchronous:
        async_engine = sqlalchemy.ext.asyncio.create_async_engine(plain, connect_args=arguments)
        store = SQLAlchemySessionStore(async_engine)
    else:
        engine = sqlalchemy.create_engine(plain, connect_args=arguments)
        store = SQLAlchemySessionStore(engine)
    for number in range(20):
        await store.append(key, [{"type": "user", "uuid": str(number)}])
    assert len(await store.load(key) or []) == 20
    if asynchronous:
        await async_engine.dispose()
    else:
        engine.dispose()


def test_the_shell_that_only_reads_leaves_no_connection_of_the_pooler_read_only(
    pooled_database: Database, engine: Engine
) -> None:
    command = [sys.executable, "-m", "boocode_sessions", "--url", pooled_database.url, "shell"]
    for options, status in (([], 2), (["--write"], 0)):
        done = subprocess.run(
            [*command, *options], input="", capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        assert ("a pooler is between" in done.stderr) is (status == 2)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW default_transaction_read_only")).scalar_one() == "off"
