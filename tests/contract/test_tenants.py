"""Our conformance suite, and the SDK's facts that it holds, over the stores of tenants."""

import pytest

from boocode_sessions.privacy import Encryption, generate_key
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import CONTRACTS, run_store_conformance
from tests.fixtures.databases import Database


@pytest.mark.anyio
async def test_a_tenants_encrypted_store_keeps_every_contract(database: Database) -> None:
    engine = database.engine()
    store = SQLAlchemySessionStore(engine, encryption=Encryption([generate_key()]), tenant="acme")
    report = await run_store_conformance(lambda: store)
    assert len(report.passed) == len(CONTRACTS)
    engine.dispose()
