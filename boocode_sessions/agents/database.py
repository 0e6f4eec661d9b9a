"""One transaction at a time, over an Engine or an AsyncEngine, with an end to every wait."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core.database_errors import is_of_database, translate
from boocode_sessions.errors import TimedOutError

_T = TypeVar("_T")


class Database:
    """Runs synchronous work on a connection, each in a transaction of its own."""

    def __init__(self, bind: Engine | AsyncEngine, schema: str | None, seconds: float) -> None:
        if not isinstance(bind, Engine | AsyncEngine):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"bind is an Engine or an AsyncEngine, not {type(bind).__name__}")
        self._bind = bind
        self._schema = schema
        self._seconds = seconds

    async def run(self, operation: str, work: Callable[[Connection], _T]) -> _T:
        """Commit what `work` does, or nothing of it.

        Not cancelled once under way, so that its outcome is known; given up on after the time-out. A thread
        that was given up on ends by itself: whatever it still commits carries a write number, which its retry
        finds. Raises SessionStoreError.
        """
        connected = False

        def connected_work(connection: Connection) -> _T:
            nonlocal connected
            connected = True
            return work(self._prepared(connection))

        try:
            with anyio.fail_after(self._seconds, shield=True):
                return await self._run(connected_work)
        except TimeoutError:
            raise TimedOutError(
                f"{operation}: the database did not answer within {self._seconds:g} s; check it"
            ) from None
        except Exception as error:
            if not is_of_database(error, connecting=not connected):
                raise
            failure = translate(error, operation)
        raise failure  # outside the handler: the driver's error repeats parameters, and must not be chained

    async def _run(self, work: Callable[[Connection], _T]) -> _T:
        if isinstance(self._bind, AsyncEngine):
            async with self._bind.begin() as connection:
                return await connection.run_sync(work)
        return await anyio.to_thread.run_sync(self._in_thread, self._bind, work, abandon_on_cancel=True)

    def _in_thread(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        with engine.begin() as connection:
            return work(connection)

    def _prepared(self, connection: Connection) -> Connection:
        if self._schema is None:
            return connection
        return connection.execution_options(schema_translate_map={None: self._schema})
