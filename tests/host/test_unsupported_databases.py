"""A database that is not ours is refused before anything is sent, by its name."""

import sqlite3
from collections.abc import Callable

import pytest
import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    UnsupportedBindError,
    migrations,
    queries,
)
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore


class OtherDialect(SQLiteDialect_pysqlite):
    """A database of another name, over a driver that is there."""

    name = "otherdb"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> object:  # type: ignore[override]
        return sqlite3


@pytest.fixture
def other() -> Engine:
    registry.register("otherdb", __name__, "OtherDialect")
    return sqlalchemy.create_engine("otherdb://")


BINDS: list[Callable[[Engine], object]] = [
    ClaudeSessionRepository,
    SQLAlchemySessionStore,
    lambda other: ClaudeSessionRepository(sessionmaker(other)),
    lambda other: ClaudeSessionRepository(Session(other)),
    lambda other: ClaudeSessionRepository(other.connect()),
    queries.sessions,
    migrations.upgrade,
    migrations.downgrade,
    migrations.pending,
    migrations.prepare,
    lambda other: migrations.upgrade(other.connect()),
]


@pytest.mark.parametrize("use", BINDS)
def test_an_engine_of_another_database(other: Engine, use: Callable[[Engine], object]) -> None:
    with pytest.raises(UnsupportedBindError, match="otherdb is not supported: use PostgreSQL 14"):
        use(other)
    other.dispose()


@pytest.mark.parametrize("url", ["mysql://h/db", "mariadb+pymysql://h/db", "oracle://h", "nonsense://h"])
def test_a_url_of_another_database(url: str) -> None:
    """Also where no driver of that database is installed."""
    name = url.partition(":")[0].partition("+")[0]
    for use in (migrations.upgrade, migrations.pending, create_engine):
        with pytest.raises(UnsupportedBindError, match=f"{name} is not supported"):
            use(url)


@pytest.mark.parametrize("dialect", ["mysql", "nonsense"])
def test_a_script_for_another_database(dialect: str) -> None:
    with pytest.raises(UnsupportedBindError, match=f"{dialect} is not supported"):
        migrations.upgrade_script(dialect)


def test_an_async_engine_of_ours_is_taken() -> None:
    AsyncClaudeSessionRepository(create_async_engine("sqlite+aiosqlite://"))
