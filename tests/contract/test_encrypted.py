"""Both conformance suites over encrypted stores."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from claude_agent_sdk.testing import run_session_store_conformance

from boocode_sessions.privacy import Encryption, generate_key
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import CONTRACTS, run_store_conformance
from tests.fixtures.databases import Database, Databases
from tests.fixtures.stores import backend_of, each_store_once, open_store


class TestOurs:
    @pytest.fixture
    def anyio_backend(self, store_kind: str) -> str:
        return backend_of(store_kind)

    @pytest.mark.anyio
    @each_store_once
    async def test_our_stores_keep_every_contract(self, store_kind: str, database: Database) -> None:
        async with open_store(store_kind, database, Encryption([generate_key()])) as store:
            report = await run_store_conformance(lambda: store)
        assert len(report.passed) == len(CONTRACTS)


@pytest.fixture
async def fresh_store(
    databases: Databases, dialect: str
) -> AsyncIterator[Callable[[], SQLAlchemySessionStore]]:
    """Makes encrypted stores, each over a database of its own: the SDK's suite asks for one per contract."""
    made: list[Database] = []
    async with AsyncExitStack() as stack:

        def make() -> SQLAlchemySessionStore:
            made.append(databases.migrated(dialect))
            engine = made[-1].engine()
            stack.callback(engine.dispose)
            return SQLAlchemySessionStore(engine, encryption=Encryption([generate_key()]))

        yield make
    for database in made:
        databases.drop(database)


@pytest.mark.anyio
async def test_the_sdks_conformance_suite_passes(fresh_store: Callable[[], SQLAlchemySessionStore]) -> None:
    await run_session_store_conformance(fresh_store)
