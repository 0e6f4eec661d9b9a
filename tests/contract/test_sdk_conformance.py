"""The SDK's own conformance suite, unmodified."""

from collections.abc import AsyncIterator, Callable

import pytest
from claude_agent_sdk.testing import run_session_store_conformance

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
            if kind == "AsyncEngine":
                async_engine = made[-1].async_engine()
                cleanups.append(async_engine.dispose)
                return SQLAlchemySessionStore(async_engine)
            engine = made[-1].engine()
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
