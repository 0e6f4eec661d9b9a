"""Engines for the command line, the examples and the tests, with all timeout values.

A host's own engine is used as it is; docs/engine.md says how to configure it. The SDK gives up on an append
after 60 s. POOL_SECONDS + CONNECT_SECONDS + CALL_SECONDS is less, so that an append can't land after the SDK
has given up on it. CALL_SECONDS is more than LOCK_SECONDS + STATEMENT_SECONDS.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from boocode_sessions._core.sqlite_files import make_private, switch_to_wal
from boocode_sessions.errors import InvalidURLError, UnsupportedBindError

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultDialect
    from sqlalchemy.ext.asyncio import AsyncEngine

POOL_SECONDS = 10
CONNECT_SECONDS = 10
LOCK_SECONDS = 10
STATEMENT_SECONDS = 20
IDLE_IN_TRANSACTION_SECONDS = 30
"""Limit for an open transaction that does nothing: it keeps its session locked for everybody else."""
DEAD_PEER_SECONDS = 20
"""How long to wait for a host that has vanished before giving up the connection."""

CALL_SECONDS = 35.0
"""How long a call keeps its connection, even if the server hangs. The value is read at each call."""

SERVER_TIMEOUTS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
}
"""PostgreSQL settings for each direct connection. A setting that the host has made already stays."""

SUPPORTED_DIALECTS = ("postgresql", "sqlite")

_SYNCHRONOUS = {
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
}
_ASYNCHRONOUS = {
    "postgresql+psycopg2": "postgresql+psycopg",
    "postgresql+pg8000": "postgresql+psycopg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+pysqlite": "sqlite+aiosqlite",
}
_ONLY_ASYNCPG = {
    "command_timeout",
    "direct_tls",
    "max_cacheable_statement_size",
    "max_cached_statement_lifetime",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
}
"""URL options of asyncpg that libpq would refuse."""
_LIBPQ_NAMES = {"ssl": "sslmode", "timeout": "connect_timeout", "database": "dbname"}
"""URL options of asyncpg, each with libpq's name for it."""

READING = "boocode_sessions_reading"
"""Execution option of a connection that will only read. On SQLite it then takes no write lock."""


def check_dialect(name: str) -> None:
    """Raise UnsupportedBindError unless the dialect is one of SUPPORTED_DIALECTS."""
    if name not in SUPPORTED_DIALECTS:
        raise UnsupportedBindError(f"{name} is not supported: use PostgreSQL 14 or later, or SQLite")


def create_engine(url: str | URL, **options: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's options
    """Create an engine with timeouts: on PostgreSQL ready for a transaction pooler, on SQLite with WAL.

    `options` go to `sqlalchemy.create_engine`. They override the defaults here, and so does the URL. A URL
    for asyncpg or aiosqlite, such as the application's own, is converted to psycopg or sqlite3.

    Raises InvalidURLError or UnsupportedBindError.
    """
    url = _with_driver(normalized(url), _SYNCHRONOUS)
    engine = sqlalchemy.create_engine(url, **_with_defaults(url, options))
    _prepare(engine)
    return engine


def create_async_engine(url: str | URL, **options: Any) -> "AsyncEngine":  # noqa: ANN401 - SQLAlchemy's options
    """Like `create_engine`, for asyncio. A URL without an asyncio driver gets psycopg or aiosqlite."""
    from sqlalchemy.ext import asyncio  # noqa: PLC0415 - needs the optional greenlet

    url = _with_driver(normalized(url), _ASYNCHRONOUS)
    engine = asyncio.create_async_engine(url, **_with_defaults(url, options))
    _prepare(engine.sync_engine)
    return engine


def normalized(url: str | URL) -> URL:
    """Return the URL with psycopg as its driver if it is `postgres://` or `postgresql://`.

    Raises InvalidURLError.
    """
    made: URL | None = None
    with suppress(SQLAlchemyError, ValueError):  # their texts repeat the part of the password after a `@`
        made = make_url(url)
    if made is None:
        raise InvalidURLError(
            "the database's URL can't be read: give dialect://user:password@host:port/database, with "
            "@ : / ? # % percent-encoded in the user and the password; sqlite:///name.db is a file"
        )
    if made.drivername in {"postgres", "postgresql"}:
        return made.set(drivername="postgresql+psycopg")
    return made


def _with_driver(url: URL, twins: Mapping[str, str]) -> URL:
    """Return the URL with the driver that the engine needs. Raises UnsupportedBindError."""
    check_dialect(url.get_backend_name())
    if url.drivername not in twins:
        return url
    query = dict(url.query)
    if url.drivername == "postgresql+asyncpg":
        query = {_LIBPQ_NAMES.get(name, name): query[name] for name in query if name not in _ONLY_ASYNCPG}
    if isinstance(socket := query.pop("unix_sock", None), str):  # an option of pg8000
        query["host"] = os.path.dirname(socket)  # noqa: PTH120 - a server's path, not one of this machine
    return url.set(drivername=twins[url.drivername], query=query)


def shown_url(url: URL) -> str:
    """Return a URL without its password. Of the query only host and port remain: the rest may hold keys."""
    query = {name: url.query[name] for name in ("host", "port") if name in url.query}
    where, mark, options = url.set(query=query).render_as_string(hide_password=True).partition("?")
    return where + mark + options.replace("%2F", "/")  # a socket's folder, as people write it


def postgresql_arguments() -> dict[str, Any]:
    """Return libpq connect arguments that limit the time for connecting and for a vanished peer."""
    probes, interval = 2, 5
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": DEAD_PEER_SECONDS - probes * interval,
        "keepalives_interval": interval,
        "keepalives_count": probes,
        "tcp_user_timeout": DEAD_PEER_SECONDS * 1000,
    }


def prepare_postgresql(engine: Engine) -> None:
    """Set timeouts on the server, or turn off prepared statements behind a pooler.

    This costs one round trip per connection. The listener recognizes a pooler (PgBouncer, and those that
    speak its protocol) by the process id: the one that a pooler gives to the client isn't the server's. In
    transaction mode each transaction may get another server connection. There, the name of a prepared
    statement may belong to another client's statement, and a timeout set for the session would stay for
    other clients. A pooler also refuses `options` at connection start, so the timeouts are not sent there.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        driver_connection = getattr(connection, "driver_connection", connection)
        pid = driver_connection.info.backend_pid
        before = connection.autocommit
        connection.autocommit = True  # a rollback would undo settings made in a transaction
        cursor = connection.cursor()
        cursor.execute(_SET_TIMEOUTS, {"pid": pid})
        (is_server, _) = cursor.fetchone()
        cursor.close()
        connection.autocommit = before
        if not is_server:
            driver_connection.prepare_threshold = None


_SET_TIMEOUTS = (
    "SELECT pg_backend_pid() = %(pid)s, (SELECT count(set_config(name, wish, false)) FROM (VALUES "  # noqa: S608 - made of constants
    + ", ".join(f"('{name}', '{value}')" for name, value in SERVER_TIMEOUTS.items())
    + ") AS wanted (name, wish) JOIN pg_settings USING (name)"
    " WHERE source = 'default' AND pg_backend_pid() = %(pid)s)"
)


def prepare_sqlite(engine: Engine) -> None:
    """Set up the write-ahead log, a wait for locks, and transactions that take their lock at BEGIN.

    Only its owner can read a file that is created here, as with the agent's own transcripts.

    Raises TypeError unless `engine` is an Engine over SQLite. For an AsyncEngine, pass its `sync_engine`.
    """
    if (name := _dialect_of(engine)) != "sqlite":
        raise TypeError(f"engine is an Engine of SQLite, such as async_engine.sync_engine, not {name}")

    @event.listens_for(engine, "do_connect")
    def _do_connect(_dialect: object, _record: object, arguments: list[Any], named: dict[str, Any]) -> None:
        make_private(str(arguments[0]) if arguments else str(named.get("database", "")))

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:  # noqa: ANN401 - the driver's connection
        record.info[_AUTOCOMMIT] = connection.isolation_level is None  # the engine was created that way
        connection.isolation_level = None  # the driver would begin late, and not before a SELECT
        if hasattr(connection, "autocommit"):  # Python 3.12 and later, where it overrides isolation_level
            connection.autocommit = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL
            connection.rollback()  # with autocommit=False a transaction has already begun
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
        switch_to_wal(cursor, LOCK_SECONDS)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        options = connection.get_execution_options()
        level = options.get("isolation_level")
        if level == "AUTOCOMMIT" or (level is None and connection.info.get(_AUTOCOMMIT)):
            return  # nobody would commit the transaction
        connection.exec_driver_sql("BEGIN" if options.get(READING) else "BEGIN IMMEDIATE")


def _dialect_of(engine: object) -> str:
    """Return the name of an Engine's dialect, or of the type of any other object."""
    return engine.dialect.name if isinstance(engine, Engine) else type(engine).__name__


_AUTOCOMMIT = "boocode_sessions_autocommit"


def _with_defaults(url: URL, options: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"hide_parameters": True, "logging_name": "boocode_sessions"}
    dialect = cast("type[DefaultDialect]", url.get_dialect())
    pool = options.get("poolclass") or dialect.get_pool_class(url)
    if issubclass(pool, QueuePool) and "pool" not in options:
        defaults["pool_timeout"] = POOL_SECONDS
    if ours := _connect_arguments(url):
        unsaid = {name: value for name, value in ours.items() if name not in url.query}
        defaults["connect_args"] = unsaid | options.get("connect_args", {})
        options = {name: value for name, value in options.items() if name != "connect_args"}
    return defaults | options


def _connect_arguments(url: URL) -> dict[str, Any]:
    if url.get_driver_name() in {"psycopg", "psycopg2"}:
        return postgresql_arguments()
    return {"timeout": CONNECT_SECONDS} if url.get_driver_name() in {"asyncpg", "pg8000"} else {}


def _prepare(engine: Engine) -> None:
    if engine.hide_parameters:
        _keep_content_out_of_logs(engine)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    elif engine.dialect.driver in {"psycopg", "psycopg_async"}:
        prepare_postgresql(engine)
    elif engine.dialect.driver == "pg8000":
        event.listen(engine, "connect", _wait_for_statements)


def _wait_for_statements(connection: Any, _record: object) -> None:  # noqa: ANN401 - pg8000's connection
    """Reset pg8000's only timeout, which would also limit every statement: ours is for connecting."""
    if connection._usock.gettimeout() == CONNECT_SECONDS:  # noqa: SLF001 - there is no public name
        connection._usock.settimeout(None)  # noqa: SLF001


def _keep_content_out_of_logs(engine: Engine) -> None:
    """Drop DEBUG log records, in which SQLAlchemy repeats each row that it fetches.

    aiosqlite also logs each parameter at DEBUG. It has a single logger, which the whole process shares.
    """
    logging.getLogger(f"sqlalchemy.engine.Engine.{engine.logging_name}").addFilter(_above_debug)
    if engine.dialect.driver == "aiosqlite":
        logging.getLogger("aiosqlite").addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
