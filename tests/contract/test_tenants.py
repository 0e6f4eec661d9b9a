"""Both conformance suites over the stores of tenants."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from claude_agent_sdk.testing import run_session_store_conformance

from boocode_sessions.privacy import Encryption, generate_key
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import CONTRACTS, run_store_conformance
from tests.fixtures.databases import Database, Databases


@pytest.mark.anyio
async def test_a_tenants_encrypted_store_keeps_every_contract(database: Database) -> None:
    engine = database.engine()
    store = SQLAlchemySessionStore(engine, encryption=Encryption([generate_key()]), tenant="acme")
    report = await run_store_conformance(lambda: store)
    assert len(report.passed) == len(CONTRACTS)
    engine.dispose()


@pytest.fixture
async def fresh_store(
    databases: Databases, dialect: str
) -> AsyncIterator[Callable[[bool], Callable[[], SQLAlchemySessionStore]]]:
    """Makes stores of a tenant, each over a database of its own, as the SDK's suite asks for."""
    made: list[Database] = []
    async with AsyncExitStack() as stack:

        def over(asynchronous: bool) -> Callable[[], SQLAlchemySessionStore]:
            def make() -> SQLAlchemySessionStore:
                made.append(databases.migrated(dialect))
                if asynchronous:
                    async_engine = made[-1].async_engine()
                    stack.push_async_callback(async_engine.dispose)
                    return SQLAlchemySessionStore(async_engine, tenant="acme")
                engine = made[-1].engine()
                stack.callback(engine.dispose)
                return SQLAlchemySessionStore(engine, tenant="acme")

            return make

        yield over
    for database in made:
        databases.drop(database)


@pytest.mark.anyio
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_sdks_conformance_suite_passes(
    fresh_store: Callable[[bool], Callable[[], SQLAlchemySessionStore]], asynchronous: bool
) -> None:
    await run_session_store_conformance(fresh_store(asynchronous))
