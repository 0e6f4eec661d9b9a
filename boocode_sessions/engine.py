"""Engines that we make ourselves: for the command line, the examples and the tests.

A host's engine is used as it is. These defaults keep every call well under the 60 s after which the SDK
gives up on an append, so that a call it has given up on can't land later.
"""

from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, event, make_url

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 20
LOCK_SECONDS = 10

READING = "boocode_sessions_reading"
"""The execution option of a connection that will only read: on SQLite it then takes no write lock."""


def create_engine(url: str | URL, **options: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's options
    """An engine with time-outs, and on SQLite with WAL and full transactions.

    `options` go to `sqlalchemy.create_engine` and win over the defaults here.
    """
    url = normalized(url)
    if url.get_backend_name() == "sqlite":
        engine = sqlalchemy.create_engine(url, hide_parameters=True, **options)
        prepare_sqlite(engine)
        return engine
    defaults: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": False}
    if url.get_backend_name() == "postgresql":
        defaults["connect_args"] = postgresql_arguments()
    return sqlalchemy.create_engine(url, **(defaults | options))


def postgresql_arguments() -> dict[str, Any]:
    """psycopg's connect arguments: time-outs for connecting, for a statement and for a lock."""
    return {
        "connect_timeout": CONNECT_SECONDS,
        "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={LOCK_SECONDS}s",
    }


def normalized(url: str | URL) -> URL:
    """The URL with psycopg as the driver where it names none: `postgres://` and `postgresql://` too."""
    made = make_url(url)
    if made.drivername in {"postgres", "postgresql"}:
        return made.set(drivername="postgresql+psycopg")
    return made


def prepare_sqlite(engine: Engine) -> None:
    """Write-ahead log, a wait for locks, and a transaction that takes its lock when it begins."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        connection.isolation_level = None  # the driver would begin late, and not before a SELECT
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        reading = connection.get_execution_options().get(READING)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
