"""An engine or a connection at AUTOCOMMIT can't keep a batch whole: it is refused, with what to do."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine as plain_async_engine
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    SessionKey,
    SessionStoreError,
)
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
BATCHES: list[list[Any]] = [
    [{"type": "user", "text": "one"}],
    [{"type": "user", "text": "one"}, {"type": "user", "uuid": "u"}],
    [{"type": "user", "n": n} for n in range(600)],
]
sized = pytest.mark.parametrize("batch", BATCHES, ids=["one entry", "two entries", "600 entries"])


@pytest.fixture(autouse=True)
def nothing_is_written(database: Database) -> Iterator[None]:
    """Looked for in the end, through an engine that is as it should be."""
    yield
    engine = create_engine(database.url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT count(*) FROM claude_session_entries")).scalar_one()
    listed = ClaudeSessionRepository(engine).list_sessions("p")
    engine.dispose()
    assert (rows, listed) == (0, [])


@contextmanager
def refused() -> Iterator[None]:
    """The error names the level, and what to change; it is ours wherever it is raised."""
    with pytest.raises(SessionStoreError, match="AUTOCOMMIT") as error:
        yield
    assert "isolation_level" in str(error.value), "the error does not say what to change"


Dispose = Callable[[Engine], Engine]


def _made_so(url: str) -> Engine:
    return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")


def _by_an_option(url: str) -> Engine:
    return sqlalchemy.create_engine(url).execution_options(isolation_level="AUTOCOMMIT")


def _by_an_option_of_its_making(url: str) -> Engine:
    return sqlalchemy.create_engine(url, execution_options={"isolation_level": "AUTOCOMMIT"})


def _by_an_option_of_ours(url: str) -> Engine:
    return create_engine(url).execution_options(isolation_level="AUTOCOMMIT")


def _made_so_by_ours(url: str) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT")


ENGINES = [_made_so, _by_an_option, _by_an_option_of_its_making, _by_an_option_of_ours, _made_so_by_ours]
every_engine = pytest.mark.parametrize("made", ENGINES)


@every_engine
@sized
def test_an_engine_is_refused(
    database: Database, disposing: Dispose, made: Callable[[str], Engine], batch: list[Any]
) -> None:
    engine = disposing(made(database.url))
    for _ in range(2):
        with refused():
            ClaudeSessionRepository(engine).append(KEY, batch)


@every_engine
@pytest.mark.anyio
async def test_a_store_refuses_it(
    database: Database, disposing: Dispose, made: Callable[[str], Engine]
) -> None:
    engine = disposing(made(database.url))
    for batch in BATCHES:
        with refused():
            await SQLAlchemySessionStore(engine).append(KEY, batch)


@every_engine
def test_a_sessionmaker_over_it_is_refused(
    database: Database, disposing: Dispose, made: Callable[[str], Engine]
) -> None:
    engine = disposing(made(database.url))
    for batch in BATCHES:
        with refused():
            ClaudeSessionRepository(sessionmaker(engine)).append(KEY, batch)


@every_engine
def test_a_session_over_it_is_refused(
    database: Database, disposing: Dispose, made: Callable[[str], Engine]
) -> None:
    engine = disposing(made(database.url))
    for batch in BATCHES:
        with Session(engine) as db, refused():
            ClaudeSessionRepository(db).append(KEY, batch)


@every_engine
def test_a_deletion_is_refused(database: Database, disposing: Dispose, made: Callable[[str], Engine]) -> None:
    engine = disposing(made(database.url))
    with refused():
        ClaudeSessionRepository(engine).delete(KEY)


@sized
@pytest.mark.parametrize("how", ["of the connection", "of the engine", "of its making"])
def test_a_joined_connection_is_refused(
    database: Database, disposing: Dispose, how: str, batch: list[Any]
) -> None:
    made = {"of the engine": _by_an_option, "of its making": _made_so}.get(how, sqlalchemy.create_engine)
    engine = disposing(made(database.url))
    with engine.connect() as connection:
        if how == "of the connection":
            connection.execution_options(isolation_level="AUTOCOMMIT")
        with refused():
            ClaudeSessionRepository(connection).append(KEY, batch)


@sized
def test_a_session_whose_connection_is_so_is_refused(
    database: Database, disposing: Dispose, batch: list[Any]
) -> None:
    engine = disposing(sqlalchemy.create_engine(database.url))
    with Session(engine) as db:
        db.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        with refused():
            ClaudeSessionRepository(db).append(KEY, batch)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_savepoint_at_that_level_is_told(database: Database, disposing: Dispose) -> None:
    """The server refuses the host's SAVEPOINT, which SQLAlchemy sends when the call asks for a connection."""
    engine = disposing(_by_an_option(database.url))
    with Session(engine) as db, pytest.raises(SessionStoreError, match="AUTOCOMMIT"), db.begin_nested():
        ClaudeSessionRepository(db).append(KEY, BATCHES[0])


@asynccontextmanager
async def _asynchronous(database: Database, how: str) -> AsyncIterator[Any]:
    """What a host gives the asynchronous repository or store."""
    url = database.async_url
    if how == "made so":
        engine = plain_async_engine(url, isolation_level="AUTOCOMMIT")
    else:
        engine = plain_async_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["made so", "by an option"])
async def test_an_async_engine_is_refused(database: Database, how: str) -> None:
    async with _asynchronous(database, how) as engine:
        for batch in BATCHES:
            with refused():
                await SQLAlchemySessionStore(engine).append(KEY, batch)
            with refused():
                await AsyncClaudeSessionRepository(engine).append(KEY, batch)
            with refused():
                await AsyncClaudeSessionRepository(async_sessionmaker(engine)).append(KEY, batch)
            async with engine.connect() as connection:
                with refused():
                    await AsyncClaudeSessionRepository(connection).append(KEY, batch)
            async with AsyncSession(engine) as db:
                with refused():
                    await AsyncClaudeSessionRepository(db).append(KEY, batch)


@pytest.mark.parametrize("driver", ["psycopg2"])
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_another_drivers_engine_is_refused(database: Database, disposing: Dispose, driver: str) -> None:
    for made in ENGINES:
        engine = disposing(made(database.url_over(driver)))
        for batch in BATCHES:
            with refused():
                ClaudeSessionRepository(engine).append(KEY, batch)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.anyio
async def test_an_engine_whose_driver_commits_each_statement_is_refused(
    database: Database, disposing: Dispose
) -> None:
    arguments = {"autocommit": True}
    engine = disposing(sqlalchemy.create_engine(database.url, connect_args=arguments))
    async_engine = plain_async_engine(database.async_url, connect_args=arguments)
    for batch in BATCHES:
        with refused():
            ClaudeSessionRepository(engine).append(KEY, batch)
        with Session(engine) as db, refused():
            ClaudeSessionRepository(db).append(KEY, batch)
        with refused():
            await AsyncClaudeSessionRepository(async_engine).append(KEY, batch)
    await async_engine.dispose()
    ours = disposing(create_engine(database.url, connect_args=arguments))  # begins and commits by itself
    with Session(ours) as db:
        ClaudeSessionRepository(db).append(KEY, BATCHES[-1])
        db.rollback()
