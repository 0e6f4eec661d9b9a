"""The SDK's own conformance suite, unmodified."""

from collections.abc import AsyncIterator, Callable

import pytest
from claude_agent_sdk.testing import run_session_store_conformance

from boocode_sessions.engine import create_async_engine, create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database, Databases


@pytest.fixture
async def fresh_store(
    databases: Databases, dialect: str
) -> AsyncIterator[Callable[[str], Callable[[], SQLAlchemySessionStore]]]:
    """A factory of stores, each over a database of its own; the suite asks for one per contract."""
    cleanups: list[Callable[[], object]] = []
    made: list[Database] = []

    def factory(kind: str) -> Callable[[], SQLAlchemySessionStore]:
        def make() -> SQLAlchemySessionStore:
            made.append(databases.migrated(dialect))
            bind, _, driver = kind.partition(" over ")
            url = made[-1].url_over(driver) if driver else made[-1].url
            if bind == "AsyncEngine":
                async_engine = create_async_engine(url)
                cleanups.append(async_engine.dispose)
                return SQLAlchemySessionStore(async_engine)
            engine = create_engine(url)
            cleanups.append(engine.dispose)
            return SQLAlchemySessionStore(engine)

        return make

    yield factory
    for cleanup in cleanups:
        done = cleanup()
        if hasattr(done, "__await__"):
            await done
    for database in made:
        databases.drop(database)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "anyio_backend"),
    [("Engine", "asyncio"), ("Engine", "trio"), ("AsyncEngine", "asyncio")],
)
async def test_the_sdks_conformance_suite_passes(
    fresh_store: Callable[[str], Callable[[], SQLAlchemySessionStore]], kind: str
) -> None:
    await run_session_store_conformance(fresh_store(kind))


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("kind", ["Engine over psycopg2", "AsyncEngine over asyncpg"])
async def test_it_passes_over_other_drivers(
    fresh_store: Callable[[str], Callable[[], SQLAlchemySessionStore]], kind: str
) -> None:
    await run_session_store_conformance(fresh_store(kind))
