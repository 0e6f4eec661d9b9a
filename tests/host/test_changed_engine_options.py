"""A host that changes its engine's schema map later gets the new schema's rows, whatever was read before."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
TENANTS = ("tenant_a", "tenant_b")


@pytest.fixture
def tenants(database: Database, engine: Engine) -> Engine:
    """An engine to a database with a schema for each tenant."""
    with engine.begin() as connection:
        for tenant in TENANTS:
            connection.execute(text(f"CREATE SCHEMA {tenant}"))
    for tenant in TENANTS:
        migrations.upgrade(database.url, schema=tenant)
    return engine


def entry(tenant: str, number: int) -> dict[str, Any]:
    return {"type": "user", "text": f"{number} of {tenant}"}


def switch(engine: Engine, tenant: str) -> None:
    engine.update_execution_options(schema_translate_map={None: tenant})


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_every_call_goes_where_the_map_leads_now(tenants: Engine) -> None:
    repository = ClaudeSessionRepository(tenants)
    given: dict[str, list[Any]] = {tenant: [] for tenant in TENANTS}
    for number in range(4):
        for tenant in TENANTS:
            switch(tenants, tenant)
            batch = [entry(tenant, number)] * (number + 1)
            repository.append(KEY, batch)
            given[tenant] += batch
            assert repository.load(KEY) == given[tenant]
            assert [s["session_id"] for s in repository.list_sessions("p")] == ["s"]
            assert len(repository.list_session_summaries("p")) == 1
    for tenant in TENANTS:
        switch(tenants, tenant)
        assert repository.load(KEY) == given[tenant]
    repository.delete(KEY)
    assert repository.load(KEY) is None
    switch(tenants, TENANTS[0])
    assert repository.load(KEY) == given[TENANTS[0]]


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_reads_follow_the_map_when_only_reads_came_before(tenants: Engine) -> None:
    for tenant in TENANTS:
        ClaudeSessionRepository(tenants, schema=tenant).append(KEY, [entry(tenant, 0)])
        ClaudeSessionRepository(tenants, schema=tenant).append(
            {**KEY, "subpath": f"subagents/{tenant}"}, [entry(tenant, 1)]
        )
    repository = ClaudeSessionRepository(tenants)
    for tenant in (*TENANTS, *TENANTS):
        switch(tenants, tenant)
        assert repository.load(KEY) == [entry(tenant, 0)]
        assert repository.list_subkeys(KEY) == [f"subagents/{tenant}"]


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_the_store_follows_it_too(tenants: Engine) -> None:
    store = SQLAlchemySessionStore(tenants)
    for number in range(3):
        for tenant in TENANTS:
            switch(tenants, tenant)
            await store.append(KEY, [entry(tenant, number)])
            assert await store.load(KEY) == [entry(tenant, n) for n in range(number + 1)]
