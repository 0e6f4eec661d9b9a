"""A database that is not ours is refused before anything is sent, by its name."""

import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, make_url
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
    telemetry,
)
from boocode_sessions.engine import create_async_engine as our_create_async_engine
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.host.binds import functions_of_a_bind


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


def test_every_function_refuses_it(other: Engine, tmp_path: Path) -> None:
    for function in (*functions_of_a_bind(tmp_path), telemetry.watch):
        with pytest.raises(UnsupportedBindError, match="otherdb is not supported"):
            function(other)
    other.dispose()


@pytest.mark.parametrize("url", ["mysql://h/db", "mariadb+pymysql://h/db", "oracle://h", "nonsense://h"])
def test_a_url_of_another_database(url: str) -> None:
    """Also where no driver of that database is installed."""
    name = url.partition(":")[0].partition("+")[0]
    for use in (
        migrations.upgrade,
        migrations.downgrade,
        migrations.pending,
        migrations.prepare,
        migrations.protect_tenants,
        migrations.unprotect_tenants,
        migrations.distribute,
        create_engine,
        our_create_async_engine,
    ):
        for given in (url, make_url(url)):
            with pytest.raises(UnsupportedBindError, match=f"{name} is not supported"):
                use(given)


@pytest.mark.parametrize("dialect", ["mysql", "nonsense"])
def test_a_script_for_another_database(dialect: str) -> None:
    with pytest.raises(UnsupportedBindError, match=f"{dialect} is not supported"):
        migrations.upgrade_script(dialect)


@pytest.mark.parametrize("dialect", ["postgresql+asyncpg", "sqlite+aiosqlite"])
def test_a_script_by_the_beginning_of_the_applications_url(dialect: str) -> None:
    assert migrations.upgrade_script(dialect) == migrations.upgrade_script(dialect.partition("+")[0])


@pytest.mark.parametrize("step", [migrations.host.upgrade, migrations.host.downgrade])
def test_a_revision_of_a_host_over_another_database(step: Callable[[str], None]) -> None:
    """Before it has made a table there, and in a script too."""
    written = StringIO()
    options = {"as_sql": True, "output_buffer": written}
    context = MigrationContext.configure(dialect_name="mysql", opts=options)
    with Operations.context(context), pytest.raises(UnsupportedBindError, match="mysql is not supported"):
        step("0001" if step is migrations.host.upgrade else "base")
    assert written.getvalue() == ""


@pytest.mark.parametrize("function", [migrations.protect_tenants, migrations.unprotect_tenants])
def test_sqlite_can_not_keep_tenants_apart_by_itself(function: Callable[[str], None]) -> None:
    with pytest.raises(UnsupportedBindError, match="only PostgreSQL can keep tenants apart, not sqlite"):
        function("sqlite://")


def test_an_async_engine_of_ours_is_taken() -> None:
    AsyncClaudeSessionRepository(create_async_engine("sqlite+aiosqlite://"))
