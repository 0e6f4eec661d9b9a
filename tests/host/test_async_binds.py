"""Functions that take a synchronous bind work over an asynchronous one, and over its URL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    adoption,
    jsonl,
    migrations,
    queries,
    retention,
    run_sync,
    status,
    telemetry,
)
from boocode_sessions import engine as engines
from boocode_sessions.privacy import Encryption, generate_key, reencrypt
from tests.fixtures.databases import Database
from tests.host.binds import functions_of_a_bind

KEY = {"project_key": "p", "session_id": "s"}
LINES: list[dict[str, Any]] = [
    {"type": "user", "uuid": "u1", "sessionId": "s", "message": {"role": "user", "content": "Rain?"}},
    {"type": "mode", "text": "no uuid"},
]

pytestmark = pytest.mark.anyio

every_async_driver = pytest.mark.parametrize(
    ("dialect", "driver"), [("postgresql", "psycopg"), ("postgresql", "asyncpg"), ("sqlite", "aiosqlite")]
)


@pytest.fixture
async def asynchronous(database: Database, driver: str) -> AsyncIterator[AsyncEngine]:
    """The engine of a host on asyncio."""
    made = create_async_engine(database.url_over(driver))
    yield made
    await made.dispose()


@every_async_driver
async def test_questions_files_and_pruning(asynchronous: AsyncEngine, tmp_path: Path) -> None:
    await AsyncClaudeSessionRepository(asynchronous).append(KEY, LINES)
    (listed,) = await run_sync(queries.sessions, asynchronous, project_key="p")
    assert (listed.session_id, listed.entries) == ("s", 2)
    (said,) = await run_sync(queries.conversation, asynchronous, "s")
    assert said.text == "Rain?"
    exported = await run_sync(jsonl.export_tree, asynchronous, tmp_path)
    assert exported.entries == 2
    pruned = await run_sync(retention.prune, asynchronous, inactive_for=timedelta(0), batch=1, pause=0.001)
    assert [session.session_id for session in pruned.sessions] == ["s"]
    assert await run_sync(queries.sessions, asynchronous) == []
    imported = await run_sync(jsonl.import_tree, asynchronous, tmp_path, workers=4)
    assert (imported.added, imported.broken) == (2, 0)
    assert (await run_sync(adoption.backfill, asynchronous)).placed == 0
    assert (await run_sync(status.holdings, asynchronous)).entries == 2


@every_async_driver
async def test_a_callers_session_is_joined(asynchronous: AsyncEngine) -> None:
    async with AsyncSession(asynchronous) as db:
        await AsyncClaudeSessionRepository(db).append(KEY, LINES)
        assert [row.session_id for row in await run_sync(queries.sessions, db)] == ["s"]
        await db.rollback()
    assert await run_sync(queries.sessions, async_sessionmaker(asynchronous)) == []


@every_async_driver
async def test_migrations(database: Database, asynchronous: AsyncEngine) -> None:
    await run_sync(migrations.downgrade, asynchronous)
    assert await run_sync(migrations.pending, asynchronous) == ["0001"]
    await run_sync(migrations.upgrade, asynchronous)
    found = await run_sync(status.schema_status, asynchronous)
    assert (found.found, found.pending) == ("0001", [])
    over_url = database.url_over(asynchronous.dialect.driver.removesuffix("_async"))
    for url in (over_url, make_url(over_url)):
        assert migrations.pending(url) == []
        migrations.downgrade(url)
        migrations.upgrade(url)
        migrations.prepare(url)
        assert migrations.pending(url) == []


@every_async_driver
async def test_an_asynchronous_bind_without_run_sync_says_how(
    asynchronous: AsyncEngine, tmp_path: Path
) -> None:
    async with asynchronous.connect() as connection:
        binds = (asynchronous, async_sessionmaker(asynchronous), AsyncSession(asynchronous), connection)
        for bind in binds:
            for function in (*functions_of_a_bind(tmp_path), ClaudeSessionRepository):
                with pytest.raises(TypeError, match="run_sync"):
                    function(bind)
    for migrate in (migrations.upgrade, migrations.downgrade, migrations.pending, migrations.prepare):
        with pytest.raises(TypeError, match="run_sync"):
            migrate(asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"create_engine makes one of the application's URL"):
        telemetry.watch(asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"create_engine makes one of the application's URL"):
        await run_sync(telemetry.watch, asynchronous)


@every_async_driver
async def test_a_pause_between_batches_leaves_the_event_loop_free(asynchronous: AsyncEngine) -> None:
    await AsyncClaudeSessionRepository(asynchronous).append(KEY, LINES)
    encryption = Encryption([generate_key()], reads_plain=True)
    task = asyncio.create_task(run_sync(reencrypt, asynchronous, encryption, pause=1.0))
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()
    while not task.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, loop.time() - last), loop.time()
    assert (await task).entries == 2
    assert longest < 0.9


@pytest.mark.parametrize(
    ("given", "synchronous"),
    [
        (
            "postgresql+asyncpg://u:p@h/db?ssl=require&command_timeout=5",
            "postgresql+psycopg://u:p@h/db?sslmode=require",
        ),
        ("postgresql+psycopg_async://h/db", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg2://h/db", "postgresql+psycopg2://h/db"),
        ("postgres://h/db", "postgresql+psycopg://h/db"),
        ("sqlite+aiosqlite:///a.db", "sqlite:///a.db"),
    ],
)
async def test_the_applications_url_is_taken(given: str, synchronous: str) -> None:
    engine: Engine = engines.create_engine(given)
    assert engine.url.render_as_string(hide_password=False) == synchronous


@pytest.mark.parametrize(
    ("given", "asynchronous_url"),
    [
        ("postgresql+psycopg2://h/db", "postgresql+psycopg://h/db"),
        ("postgresql+pg8000:///db?unix_sock=/run/.s.PGSQL.5432", "postgresql+psycopg:///db?host=%2Frun"),
        ("postgresql+asyncpg://h/db", "postgresql+asyncpg://h/db"),
        ("sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("sqlite+pysqlite:///a.db", "sqlite+aiosqlite:///a.db"),
    ],
)
async def test_a_synchronous_url_makes_an_async_engine(given: str, asynchronous_url: str) -> None:
    made = engines.create_async_engine(given)
    assert made.url.render_as_string() == asynchronous_url
