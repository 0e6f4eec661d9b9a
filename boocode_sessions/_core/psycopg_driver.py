"""One statement on psycopg's own connection, past SQLAlchemy's Connection and Core.

They take a fifth of the time of a one-entry append (0.66 ms instead of 0.85 over an AsyncEngine), and hold
all rows of a load before the first is decoded, which takes a third longer (benchmarks: `append`, `load`). The
engine's pool stays in charge: of checkout and reset, its events, and which connections are good. Where a
host listens to its engine's statements, or logs them, nothing goes past it: see `possible`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

if TYPE_CHECKING:  # psycopg needs libpq, which a host on SQLite may not have
    import psycopg
    from sqlalchemy.sql import ClauseElement

T = TypeVar("T")

CHUNK_ROWS = 32
"""Rows that psycopg takes at a time of a result that is not held: with 1 or 200 a load takes longer."""

_EVENTS = (
    "engine_connect",
    "begin",
    "before_execute",
    "after_execute",
    "before_cursor_execute",
    "after_cursor_execute",
)


class Compiled(NamedTuple):
    """A Core statement as psycopg takes it."""

    sql: bytes
    fixed: Mapping[str, Any]
    """Those of its parameters that have their value already."""


def possible(engine: Engine) -> bool:
    """Whether the engine is psycopg's, and nobody listens to its statements or logs them."""
    return (
        engine.dialect.driver in {"psycopg", "psycopg_async"}
        and not engine.logger.isEnabledFor(logging.INFO)
        and not any(getattr(engine.dispatch, event) for event in _EVENTS)
    )


def compiled(engine: Engine, statement: ClauseElement, schema: str | None) -> Compiled:
    """A statement to run here or in a pipeline, whose parameters and rows need none of SQLAlchemy's types."""
    translate: dict[str | None, str] = dict(engine.get_execution_options().get("schema_translate_map", {}))
    if schema:
        translate[None] = schema
    made = statement.compile(
        dialect=engine.dialect, schema_translate_map=translate, render_schema_translate=bool(translate)
    )
    fixed = {name: value for name, value in (made.params or {}).items() if value is not None}
    return Compiled(str(made).encode(), fixed)


def fetch(engine: Engine, statement: Compiled, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement that is atomic by itself, without BEGIN and COMMIT: one round trip. Returns its rows.

    Raises what SQLAlchemy's Connection would.
    """
    everything = {**statement.fixed, **parameters}

    def work(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(statement.sql, everything).fetchall()

    async def work_async(connection: psycopg.AsyncConnection[Any]) -> list[tuple[Any, ...]]:
        return await (await connection.execute(statement.sql, everything)).fetchall()

    return on_connection(engine, work, work_async)


def each(
    engine: Engine, statement: Compiled, parameters: Mapping[str, Any], take: Callable[[Any], None]
) -> None:
    """As `fetch`, but hand over each row while the server still sends the rest."""
    import psycopg  # noqa: PLC0415 - see above

    everything = {**statement.fixed, **parameters}
    size = CHUNK_ROWS if psycopg.capabilities.has_stream_chunked() else 1

    def work(connection: psycopg.Connection[Any]) -> None:
        rows: Any = connection.cursor().stream(statement.sql, everything, size=size)
        with closing(rows):
            for row in rows:
                take(row)

    async def work_async(connection: psycopg.AsyncConnection[Any]) -> None:
        rows: Any = connection.cursor().stream(statement.sql, everything, size=size)
        async with aclosing(rows):
            async for row in rows:
                take(row)

    on_connection(engine, work, work_async)


async def until_done(task: asyncio.Future[Any]) -> None:
    """Wait for a task's end, however often the waiting one is cancelled, and whatever comes of it."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # or asyncio would log that nobody asked for it


def on_connection(
    engine: Engine,
    work: Callable[[psycopg.Connection[Any]], T],
    work_async: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]],
) -> T:
    """Run work on a connection of the pool, in autocommit mode. Raises what SQLAlchemy's Connection would.

    An AsyncEngine's `sync_engine` needs a greenlet around it.
    """
    import psycopg  # noqa: PLC0415 - see above

    pooled: PoolProxiedConnection | None = None
    try:
        pooled = engine.raw_connection()
        connection: Any = pooled.driver_connection
        if engine.dialect.is_async:
            return await_only(_autocommitting_async(connection, work_async))
        return _autocommitting(connection, work)
    except psycopg.Error as error:
        raise _wrapped(engine, pooled, error, psycopg.Error) from error
    except BaseException as error:
        if pooled is not None and not isinstance(error, Exception):
            pooled.invalidate(error)  # cancelled in the middle: its answer may still be on the way
        raise
    finally:
        if pooled is not None:
            pooled.close()


def _autocommitting(connection: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], T]) -> T:
    before = connection.autocommit
    connection.autocommit = True  # no round trip: psycopg leaves out its BEGIN
    try:
        return work(connection)
    except Exception:
        if not connection.closed:
            connection.rollback()
        raise
    except BaseException:
        connection.close()
        raise
    finally:
        if not connection.closed:
            connection.autocommit = before


async def _autocommitting_async(
    connection: psycopg.AsyncConnection[Any], work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]
) -> T:
    before = connection.autocommit
    await connection.set_autocommit(True)
    try:
        return await work(connection)
    except Exception:
        if not connection.closed:
            await connection.rollback()
        raise
    except BaseException:
        await connection.close()
        raise
    finally:
        if not connection.closed:
            await connection.set_autocommit(before)


def _wrapped(
    engine: Engine, pooled: PoolProxiedConnection | None, error: psycopg.Error, base: type[psycopg.Error]
) -> Exception:
    """The error as SQLAlchemy gives it; a lost connection takes the pool's other old ones with it."""
    lost = False
    if pooled is not None:
        dialect: Any = engine.dialect  # its own Error and psycopg's are one, which types do not know
        lost = dialect.is_disconnect(error, pooled.dbapi_connection, None)
    if lost and pooled is not None:
        engine.pool._invalidate(pooled, error)  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001 - as Connection does
    return DBAPIError.instance(
        None, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=engine.dialect
    )
