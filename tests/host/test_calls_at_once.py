"""Calls that run at once over one connection of the host's."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from boocode_sessions import AsyncClaudeSessionRepository, SessionKey, UnsupportedBindError
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_appends_that_overtake_each_other_are_told(database: Database) -> None:
    engine = create_async_engine(database.async_url)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))  # begun
        repository = AsyncClaudeSessionRepository(connection)
        appends = [repository.append(KEY, [{"type": "user", "uuid": f"u{n}"}]) for n in range(3)]
        came = await asyncio.gather(*appends, return_exceptions=True)
        landed = [n for n, outcome in enumerate(came) if outcome is None]
        told = [outcome for outcome in came if outcome is not None]
        assert landed
        assert all(isinstance(one, UnsupportedBindError) and "await one after" in str(one) for one in told)
        stored = await repository.load(KEY)
        assert [line["uuid"] for line in stored or ()] == [f"u{n}" for n in landed]
    await engine.dispose()
