"""One statement on psycopg's own connection, past SQLAlchemy's Connection and Core.

They take more of an append of one entry than psycopg does (benchmarks: `append`). The engine's pool stays in
charge: of checkout and reset, its events, and which connections are still good. Where a host listens to its
engine's statements, or logs them, nothing goes past it: see `possible`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

if TYPE_CHECKING:  # psycopg needs libpq, which a host on SQLite may not have
    import psycopg
    from sqlalchemy.sql.dml import UpdateBase

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


def compiled(engine: Engine, statement: UpdateBase, schema: str | None) -> Compiled:
    """A statement for `run`. It and its parameters must need no conversion by SQLAlchemy's types."""
    translate: dict[str | None, str] = dict(engine.get_execution_options().get("schema_translate_map", {}))
    if schema:
        translate[None] = schema
    made = statement.compile(
        dialect=engine.dialect, schema_translate_map=translate, render_schema_translate=bool(translate)
    )
    fixed = {name: value for name, value in made.params.items() if value is not None}
    return Compiled(str(made).encode(), fixed)


def run(engine: Engine, statement: Compiled, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement that is atomic by itself, without BEGIN and COMMIT: one round trip.

    An AsyncEngine's `sync_engine` needs a greenlet around it. Raises what SQLAlchemy's Connection would.
    """
    import psycopg  # noqa: PLC0415 - see above

    pooled: PoolProxiedConnection | None = None
    try:
        pooled = engine.raw_connection()
        connection: Any = pooled.driver_connection
        everything = {**statement.fixed, **parameters}
        if engine.dialect.is_async:
            return await_only(_run_async(connection, statement.sql, everything))
        return _run(connection, statement.sql, everything)
    except psycopg.Error as error:
        raise _wrapped(engine, pooled, error, psycopg.Error) from error
    except BaseException as error:
        if pooled is not None and not isinstance(error, Exception):
            pooled.invalidate(error)  # cancelled in the middle: its answer may still be on the way
        raise
    finally:
        if pooled is not None:
            pooled.close()


def _run(
    connection: psycopg.Connection[Any], sql: bytes, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    before = connection.autocommit
    connection.autocommit = True  # no round trip: psycopg leaves out its BEGIN
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        if not connection.closed:
            connection.autocommit = before


async def _run_async(
    connection: psycopg.AsyncConnection[Any], sql: bytes, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    before = connection.autocommit
    await connection.set_autocommit(True)
    try:
        return await (await connection.execute(sql, parameters)).fetchall()
    finally:
        if not connection.closed:
            await connection.set_autocommit(before)


def _wrapped(
    engine: Engine, pooled: PoolProxiedConnection | None, error: psycopg.Error, base: type[psycopg.Error]
) -> Exception:
    """The error as SQLAlchemy gives it; a lost connection takes the pool's other old ones with it."""
    lost = pooled is None
    if pooled is not None:
        dialect: Any = engine.dialect  # its own Error and psycopg's are one, which types do not know
        if dialect.is_disconnect(error, pooled.dbapi_connection, None):
            lost = True
            engine.pool._invalidate(pooled, error)  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001 - as Connection does
    return DBAPIError.instance(
        None, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=engine.dialect
    )
