"""A read does not fail because the pool's connection has died since the last one."""

import asyncio

from sqlalchemy import make_url

from boocode_sessions import SessionKey
from boocode_sessions.repository import AsyncClaudeSessionRepository, ClaudeSessionRepository
from tests.fixtures.databases import Database
from tests.fixtures.servers import execute

KEY: SessionKey = {"project_key": "p", "session_id": "dead connection"}
ENTRIES = [{"type": "user", "uuid": "1"}]
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def test_a_load_over_a_dead_connection_is_read_again(postgres_database: Database) -> None:
    engine = postgres_database.engine()
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, ENTRIES)
    assert repository.load(KEY) == ENTRIES
    execute(make_url(postgres_database.url), KILL)
    assert repository.load(KEY) == ENTRIES
    engine.dispose()


async def _load_again(database: Database) -> None:
    engine = database.async_engine()
    repository = AsyncClaudeSessionRepository(engine)
    await repository.append(KEY, ENTRIES)
    execute(make_url(database.url), KILL)
    assert await repository.load(KEY) == ENTRIES
    await engine.dispose()


def test_an_asynchronous_load_too(postgres_database: Database) -> None:
    asyncio.run(_load_again(postgres_database))
