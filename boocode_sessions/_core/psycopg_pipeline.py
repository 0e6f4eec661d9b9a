"""Several statements in one transaction and one round trip: a pipeline on psycopg's own connection.

Each is sent without waiting for the answer to the one before, so that the server works while the next is
made here. See direct for what psycopg's own connection means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from boocode_sessions._core.psycopg_driver import Compiled, on_connection, until_done

if TYPE_CHECKING:  # psycopg needs libpq, which a host on SQLite may not have
    import psycopg

_CANCEL_SECONDS = 5
_CANCEL_PAUSE = 0.2


def supported() -> bool:
    """Whether psycopg's libpq knows pipelines."""
    import psycopg  # noqa: PLC0415 - see above

    return psycopg.capabilities.has_pipeline()


def run(engine: Engine, steps: Iterable[tuple[Compiled, Mapping[str, Any]]]) -> list[Any]:
    """Run statements as one transaction and in one round trip, each sent when `steps` comes to it.

    Returns the rows of the first, if it has any. Raises what SQLAlchemy's Connection would, and what `steps`
    raises; nothing is written then.
    """
    first = _FirstError()

    def work(connection: psycopg.Connection[Any]) -> list[Any]:
        sent: list[psycopg.Cursor[Any]] = []
        with first, connection.pipeline(), first:
            sent += (connection.execute(*step) for step in _transaction(steps, first))
        first.reraise()
        return sent[1].fetchall() if sent[1].description else []

    async def send(connection: psycopg.AsyncConnection[Any]) -> list[Any]:
        sent: list[psycopg.AsyncCursor[Any]] = []
        with first:
            async with connection.pipeline():
                with first:
                    sent += [await connection.execute(*step) for step in _transaction(steps, first)]
        first.reraise()
        return await sent[1].fetchall() if sent[1].description else []

    async def work_async(connection: psycopg.AsyncConnection[Any]) -> list[Any]:
        # psycopg's pipelines do not survive a cancellation in their middle.
        sending = asyncio.ensure_future(send(connection))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            first.keep(_GivenUpError())
            await until_done(asyncio.ensure_future(_cancel_until_done(connection, sending)))
            raise

    return on_connection(engine, work, work_async)


def _transaction(
    steps: Iterable[tuple[Compiled, Mapping[str, Any]]], first: _FirstError
) -> Iterator[tuple[bytes, Mapping[str, Any] | None]]:
    # Not the driver's own BEGIN, for whose answer it waits.
    yield b"BEGIN", None
    for statement, parameters in steps:
        first.reraise()
        yield statement.sql, {**statement.fixed, **parameters}
    first.reraise()
    yield b"COMMIT", None


class _FirstError:
    """Holds an error back until the pipeline has ended, since psycopg logs the second one that it meets."""

    def __init__(self) -> None:
        self._error: Exception | None = None

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.keep(error)
        return True

    def keep(self, error: Exception) -> None:
        self._error = self._error or error

    def reraise(self) -> None:
        if self._error is not None:
            raise self._error


class _GivenUpError(Exception):
    """Ends a pipeline whose call was cancelled, before its COMMIT if that is not sent yet."""


async def _cancel_until_done(
    connection: psycopg.AsyncConnection[Any], sending: asyncio.Future[list[Any]]
) -> None:
    """Cancel at the server what the pipeline waits for, again and again: a request may come too early."""
    while not sending.done():
        with suppress(Exception):
            await connection.cancel_safe(timeout=_CANCEL_SECONDS)
        await asyncio.wait([sending], timeout=_CANCEL_PAUSE)
    sending.exception()  # or asyncio would log that nobody asked for it
