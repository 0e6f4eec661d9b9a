"""Engines that we make ourselves: for the command line, the examples and the tests.

A host's engine is used as it is; docs/engine.md says what to give it. The time-outs here add up to less
than the 60 s after which the SDK gives up on an append, so that a call it has given up on can't land later:
POOL_SECONDS + CONNECT_SECONDS + CALL_SECONDS, which has room for LOCK_SECONDS + STATEMENT_SECONDS.
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
"""A transaction that its program left open keeps its session locked for all others."""
DEAD_PEER_SECONDS = 20
"""After which a connection to a host that has vanished is given up."""

CALL_SECONDS = 35.0
"""After which a call gives its connection up, whatever the server does: it may hang. Read at each call."""

SERVER_TIMEOUTS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
}
"""PostgreSQL's own, for each connection that is not a pooler's, where the host has set none."""

_LIBPQ_DRIVERS = ("psycopg", "psycopg2")

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
"""What a URL can say to asyncpg, and libpq would refuse."""
_LIBPQ_NAMES = {"ssl": "sslmode", "timeout": "connect_timeout", "database": "dbname"}
"""asyncpg's names in a URL, and libpq's."""

READING = "boocode_sessions_reading"
"""The execution option of a connection that will only read: on SQLite it then takes no write lock."""


def check_dialect(name: str) -> None:
    """Raises UnsupportedBindError for a database that is not one of ours."""
    if name not in SUPPORTED_DIALECTS:
        raise UnsupportedBindError(f"{name} is not supported: use PostgreSQL 14 or later, or SQLite")


def create_engine(url: str | URL, **options: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's options
    """An engine with time-outs, on PostgreSQL fit for a transaction pooler, on SQLite with WAL.

    `options` go to `sqlalchemy.create_engine` and win over the defaults here, as what the URL says does. A
    URL of asyncpg or aiosqlite, such as the application's own, is read as psycopg's or sqlite3's.

    Raises InvalidURLError, UnsupportedBindError.
    """
    url = _with_driver(normalized(url), _SYNCHRONOUS)
    engine = sqlalchemy.create_engine(url, **_with_defaults(url, options))
    _prepare(engine)
    return engine


def create_async_engine(url: str | URL, **options: Any) -> "AsyncEngine":  # noqa: ANN401 - SQLAlchemy's options
    """`create_engine` for asyncio. A URL without a driver for asyncio gets psycopg or aiosqlite."""
    from sqlalchemy.ext import asyncio  # noqa: PLC0415 - needs the optional greenlet

    url = _with_driver(normalized(url), _ASYNCHRONOUS)
    engine = asyncio.create_async_engine(url, **_with_defaults(url, options))
    _prepare(engine.sync_engine)
    return engine


def normalized(url: str | URL) -> URL:
    """The URL with psycopg as the driver where it names none: `postgres://` and `postgresql://` too.

    Raises InvalidURLError.
    """
    made: URL | None = None
    with suppress(SQLAlchemyError, ValueError):  # their texts repeat what stands after a `@` in the password
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
    """The URL with the driver that the engine needs. Raises UnsupportedBindError."""
    check_dialect(url.get_backend_name())
    if url.drivername not in twins:
        return url
    query = dict(url.query)
    if url.drivername == "postgresql+asyncpg":
        query = {_LIBPQ_NAMES.get(name, name): query[name] for name in query if name not in _ONLY_ASYNCPG}
    if isinstance(socket := query.pop("unix_sock", None), str):  # pg8000's
        query["host"] = os.path.dirname(socket)  # noqa: PTH120 - a server's path, not one of this machine
    return url.set(drivername=twins[url.drivername], query=query)


def shown_url(url: URL) -> str:
    """A URL without its password, and of its query only where the server is: the rest may hold keys."""
    query = {name: url.query[name] for name in ("host", "port") if name in url.query}
    where, mark, options = url.set(query=query).render_as_string(hide_password=True).partition("?")
    return where + mark + options.replace("%2F", "/")  # the folder of a socket, as people write it


def postgresql_arguments() -> dict[str, Any]:
    """libpq's connect arguments: limits for connecting, and for a peer that has vanished."""
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
    """Time-outs on the server, or no prepared statements behind a pooler. One round trip per connection.

    A pooler (PgBouncer, and those that speak as it does) answers for the server: the process id that it
    gave to the client is not the server's own. In transaction mode it hands each transaction another
    server connection, where a prepared statement's name may stand for another client's statement, and
    where a time-out set for a session would stay for others. It also refuses `options` at the start of a
    connection, which is why the time-outs are not sent there.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        driver_connection = getattr(connection, "driver_connection", connection)
        pid = driver_connection.info.backend_pid
        before = connection.autocommit
        connection.autocommit = True  # settings made in a transaction go with its rollback
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
    """Write-ahead log, a wait for locks, and a transaction that takes its lock when it begins.

    A file that is made here can be read by its owner alone, as the agent's own transcripts can.

    Raises TypeError for what is no Engine of SQLite; of an AsyncEngine give the `sync_engine`.
    """
    if (name := _dialect_of(engine)) != "sqlite":
        raise TypeError(f"engine is an Engine of SQLite, such as async_engine.sync_engine, not {name}")

    @event.listens_for(engine, "do_connect")
    def _do_connect(_dialect: object, _record: object, arguments: list[Any], named: dict[str, Any]) -> None:
        make_private(str(arguments[0]) if arguments else str(named.get("database", "")))

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:  # noqa: ANN401 - the driver's connection
        record.info[_AUTOCOMMIT] = connection.isolation_level is None  # an engine that was made so
        connection.isolation_level = None  # the driver would begin late, and not before a SELECT
        if hasattr(connection, "autocommit"):  # from Python 3.12 on; another value goes before that
            connection.autocommit = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL
            connection.rollback()  # with False it has begun already
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
            return  # nobody would commit it
        connection.exec_driver_sql("BEGIN" if options.get(READING) else "BEGIN IMMEDIATE")


def _dialect_of(engine: object) -> str:
    """The name of an Engine's dialect; of what else it may be its type's."""
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
    if _is_libpq(url):
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
    """pg8000 has one time-out, which goes on for every statement: ours is for connecting."""
    if connection._usock.gettimeout() == CONNECT_SECONDS:  # noqa: SLF001 - it has no other name
        connection._usock.settimeout(None)  # noqa: SLF001


def _keep_content_out_of_logs(engine: Engine) -> None:
    """Drop what is logged at DEBUG, where SQLAlchemy repeats each row that comes back.

    aiosqlite repeats each parameter there too. Its one logger is the whole process's.
    """
    logging.getLogger(f"sqlalchemy.engine.Engine.{engine.logging_name}").addFilter(_above_debug)
    if engine.dialect.driver == "aiosqlite":
        logging.getLogger("aiosqlite").addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _is_libpq(url: URL) -> bool:
    return url.get_backend_name() == "postgresql" and url.get_driver_name() in _LIBPQ_DRIVERS
