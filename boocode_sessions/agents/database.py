"""What a backend does in the database, over an Engine or an AsyncEngine, with an end to every wait."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core.append.appender import Appender
from boocode_sessions._core.append.batcher import Batcher
from boocode_sessions._core.append.request import Fence
from boocode_sessions._core.background import in_thread
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.database_errors import is_of_database, translate
from boocode_sessions._core.greenlets import in_greenlet
from boocode_sessions._core.keys import SessionKey
from boocode_sessions._core.tenants import TENANT_OPTION, check_tenant, say_tenant
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.errors import TimedOutError

_T = TypeVar("_T")


class Database:
    """Runs synchronous work on a connection, each in a transaction of its own; and fenced appends."""

    def __init__(
        self,
        bind: Engine | AsyncEngine,
        schema: str | None,
        seconds: float,
        *,
        encryption: Cipher | None = None,
        tenant: str | None = None,
    ) -> None:
        if not isinstance(bind, Engine | AsyncEngine):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"bind is an Engine or an AsyncEngine, not {type(bind).__name__}")
        self._bind = bind
        self._schema = schema
        self.encryption = encryption
        self._seconds = seconds
        engine = bind.sync_engine if isinstance(bind, AsyncEngine) else bind
        if tenant is None:
            tenant = engine.get_execution_options().get(TENANT_OPTION)
        self.tenant = check_tenant(tenant)
        self._appender = Appender(UnitOfWork(engine, schema, encryption, self.tenant))
        self._batcher = Batcher(
            self._appender,
            in_greenlet if isinstance(bind, AsyncEngine) else in_thread,
            one_writer=engine.dialect.name == "sqlite",
        )

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]], fence: Fence) -> None:
        """Append where the fence holds, in one statement with it, together with other chats' that wait.

        Not cancelled once under way. A call that was given up on may land yet; sent again with the same list
        it lands once. Raises SessionStoreError, and the fence's refusal.
        """
        request = self._appender.request(key, entries, fence)
        if request is None:
            return
        try:
            with anyio.fail_after(self._seconds, shield=True):
                await self._batcher.append(request)
        except TimeoutError:
            raise self._timed_out(request.label) from None

    async def run(self, operation: str, work: Callable[[Connection], _T]) -> _T:
        """Commit what `work` does, or nothing of it.

        Not cancelled once under way, so that its outcome is known; given up on after the time-out. A thread
        that was given up on ends by itself: whatever it still commits carries a number, which its retry
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
            raise self._timed_out(operation) from None
        except Exception as error:
            if not is_of_database(error, connecting=not connected):
                raise
            failure = translate(error, operation)
        raise failure  # outside the handler: the driver's error repeats parameters, and must not be chained

    def _timed_out(self, operation: str) -> TimedOutError:
        return TimedOutError(f"{operation}: the database did not answer within {self._seconds:g} s; check it")

    async def _run(self, work: Callable[[Connection], _T]) -> _T:
        if isinstance(self._bind, AsyncEngine):
            async with self._bind.begin() as connection:
                return await connection.run_sync(work)
        return await anyio.to_thread.run_sync(self._in_thread, self._bind, work, abandon_on_cancel=True)

    def _in_thread(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        with engine.begin() as connection:
            return work(connection)

    def _prepared(self, connection: Connection) -> Connection:
        say_tenant(connection, self.tenant)
        connection = connection.execution_options(**{TENANT_OPTION: self.tenant})
        if self._schema is None:
            return connection
        return connection.execution_options(schema_translate_map={None: self._schema})
