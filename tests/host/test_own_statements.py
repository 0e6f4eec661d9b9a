"""What a host does by itself on an engine that we made."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, text

from boocode_sessions.engine import create_async_engine, create_engine, prepare_sqlite
from tests.fixtures.databases import Database

AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
INSERT = text(
    "INSERT INTO claude_session_entries (project_key, session_id, entry) VALUES ('p', 's', '{}') RETURNING id"
)
COUNT = text("SELECT count(*) FROM claude_session_entries")


def _its_own(url: str) -> Engine:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    return engine


@pytest.mark.parametrize(
    "made",
    [
        lambda url: create_engine(url).execution_options(isolation_level="AUTOCOMMIT"),
        partial(create_engine, isolation_level="AUTOCOMMIT"),
        partial(create_engine, execution_options=AUTOCOMMIT),
        _its_own,
    ],
    ids=["by an option", "made so", "by an option of its making", "its own, prepared"],
)
def test_a_statement_at_autocommit_is_committed(database: Database, made: Callable[[str], Engine]) -> None:
    engine, other = made(database.url), create_engine(database.url)
    with engine.connect() as connection, other.connect() as beside:
        for times in (1, 2):
            connection.execute(INSERT)
            assert beside.execute(COUNT).scalar_one() == times
            beside.rollback()
        connection.exec_driver_sql("VACUUM")  # refused inside a transaction
    engine.dispose()
    other.dispose()


def test_a_connection_begins_again_after_autocommit(database: Database) -> None:
    engine = create_engine(database.url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(INSERT)
    with engine.connect() as connection:
        connection.execute(INSERT)
        connection.rollback()
    with engine.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
    engine.dispose()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_an_engine_that_was_used_before_it_is_prepared_goes_on(database: Database) -> None:
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        connection.execute(COUNT)
    prepare_sqlite(engine)
    with engine.begin() as connection:
        connection.execute(INSERT)
    with engine.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
    engine.dispose()


@pytest.mark.parametrize("given", [None, "sqlite://", sqlalchemy.create_engine("postgresql+psycopg://")])
def test_what_is_no_engine_of_sqlite_is_not_prepared(given: Any) -> None:
    with pytest.raises(TypeError, match="engine is an Engine of SQLite"):
        prepare_sqlite(given)
    with pytest.raises(TypeError, match=r"such as async_engine\.sync_engine"):
        prepare_sqlite(create_async_engine("sqlite://"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_a_statement_at_autocommit_is_committed_over_an_async_engine(database: Database) -> None:
    engine = create_async_engine(database.url)
    async with engine.connect() as connection:
        at_autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await at_autocommit.execute(INSERT)
    async with engine.connect() as connection:
        assert (await connection.execute(COUNT)).scalar_one() == 1
    await engine.dispose()
