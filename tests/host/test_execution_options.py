"""Whatever execution options a host has set on its engine or connection, every function works as without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.engine import create_async_engine, create_engine
from boocode_sessions.errors import SchemaError
from boocode_sessions.jsonl import export_tree
from tests.fixtures.databases import Database
from tests.host.binds import functions_of_a_bind

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
AGENT: SessionKey = {**KEY, "subpath": "subagents/a"}
OPTIONS: list[dict[str, Any]] = [
    {"stream_results": True, "max_row_buffer": 3},
    {"yield_per": 5},
    {
        "insertmanyvalues_page_size": 2,
        "no_parameters": True,
        "compiled_cache": None,
        "logging_token": "host",
        "preserve_rowcount": True,
    },
]
each_options = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
each_driver = pytest.mark.parametrize(
    ("dialect", "driver"),
    [("sqlite", "pysqlite"), *(("postgresql", driver) for driver in ("psycopg", "psycopg2", "pg8000"))],
)


def batch(name: str, count: int) -> list[dict[str, Any]]:
    said = {"role": "user", "content": "rain, 100% :sure"}
    return [{"type": "user", "uuid": f"{name}-{number}", "message": said} for number in range(count)]


def use(repository: ClaudeSessionRepository) -> None:
    """Every method: short and long appends to a known and an unknown session, reads, deletions."""
    given: list[dict[str, Any]] = []
    for name, count in (("a", 1), ("b", 2), ("c", 501)):
        repository.append(KEY, batch(name, count))
        repository.append(AGENT, batch(name, count))
        given += batch(name, count)
    assert repository.load(KEY) == given
    assert [one["session_id"] for one in repository.list_sessions("p")] == ["s"]
    assert len(repository.list_session_summaries("p")) == 1
    assert repository.list_subkeys(KEY) == ["subagents/a"]
    repository.delete(AGENT)
    repository.delete(KEY)
    assert repository.load(KEY) is None


@each_options
@each_driver
def test_the_contract_over_every_bind(database: Database, driver: str, options: dict[str, Any]) -> None:
    engine = create_engine(database.url_over(driver), execution_options=options)
    use(ClaudeSessionRepository(engine))
    use(ClaudeSessionRepository(sessionmaker(engine)))
    with Session(engine) as db:
        use(ClaudeSessionRepository(db))
        db.commit()
    with engine.connect() as connection:
        use(ClaudeSessionRepository(connection))
        connection.commit()
        left: Any = connection.get_execution_options()
        assert {name: left.get(name) for name in options} == options, "they are the host's still"
    engine.dispose()


@each_options
@each_driver
def test_every_function(database: Database, driver: str, options: dict[str, Any], tmp_path: Path) -> None:
    engine = create_engine(database.url_over(driver), execution_options=options)
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, batch("a", 2))
    export_tree(engine, tmp_path)
    for function in functions_of_a_bind(tmp_path):
        try:
            function(engine)
        except SchemaError as error:
            assert "can be copied" in str(error) or "old store" in str(error)  # noqa: PT017 - there is none
    engine.dispose()


@each_options
@each_driver
def test_migrations(database: Database, driver: str, options: dict[str, Any]) -> None:
    engine = create_engine(database.url_over(driver), execution_options=options)
    moves: list[Callable[[Engine | Connection], object]] = [
        migrations.downgrade,
        migrations.pending,
        migrations.upgrade,
    ]
    for move in moves:
        move(engine)
    with engine.connect() as connection:
        for move in moves:
            move(connection)
        connection.commit()
    use(ClaudeSessionRepository(engine))
    engine.dispose()


@pytest.mark.anyio
@each_options
@pytest.mark.parametrize(
    ("dialect", "driver"), [("sqlite", "aiosqlite"), ("postgresql", "psycopg"), ("postgresql", "asyncpg")]
)
async def test_async_engines(database: Database, driver: str, options: dict[str, Any]) -> None:
    engine = create_async_engine(database.url_over(driver), execution_options=options)
    repository = AsyncClaudeSessionRepository(engine)
    for name, count in (("a", 1), ("b", 2), ("c", 501)):
        await repository.append(KEY, batch(name, count))
    assert len(await repository.load(KEY) or []) == 504
    assert len(await repository.list_session_summaries("p")) == 1
    await repository.delete(KEY)
    async with engine.connect() as connection:
        joined = AsyncClaudeSessionRepository(connection)
        await joined.append(KEY, batch("a", 2))
        assert len(await joined.load(KEY) or []) == 2
    await engine.dispose()
