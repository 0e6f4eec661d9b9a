"""A backend's work in the database, over an Engine or an AsyncEngine, with a limit to every wait."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core import database_errors
from boocode_sessions._core.append.appender import Appender
from boocode_sessions._core.append.batcher import Batcher
from boocode_sessions._core.append.request import Fence
from boocode_sessions._core.background import in_abandoned_thread, in_thread
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.greenlets import in_greenlet
from boocode_sessions._core.keys import SessionKey
from boocode_sessions._core.tenants import TENANT_OPTION, check_tenant
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.agents.errors import AgentError
from boocode_sessions.errors import SessionStoreError, TimedOutError

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Database:
    """Runs synchronous work, each piece in its own transaction, and fenced appends."""

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
        self._is_async = isinstance(bind, AsyncEngine)
        self._schema = schema
        self.encryption = encryption
        self._seconds = seconds
        engine = bind.sync_engine if isinstance(bind, AsyncEngine) else bind
        if tenant is None:
            tenant = engine.get_execution_options().get(TENANT_OPTION)
        self.tenant = check_tenant(tenant)
        self._unit_of_work = UnitOfWork(engine, schema, encryption, self.tenant)
        self._appender = Appender(self._unit_of_work)
        self._batcher = Batcher(
            self._appender,
            in_greenlet if self._is_async else in_thread,
            one_writer=engine.dialect.name == "sqlite",
        )

    async def append(self, key: SessionKey, entries: Sequence[Mapping[str, Any]], fence: Fence) -> None:
        """Append if the fence holds. One statement checks the fence and appends.

        Appends of several chats that wait at the same time share a batch. A running append is not cancelled.
        After the timeout it may still land. Sent again with the same list object, it lands once.

        Raises SessionStoreError, or the fence's refusal.
        """
        request = self._appender.request(key, entries, fence)
        if request is None:
            return
        try:
            with anyio.fail_after(self._seconds, shield=True):
                await self._batcher.append(request)
        except TimeoutError:
            raise self._timed_out(request.label) from None

    async def run(self, operation: str, work: Callable[[Connection], _T], *, atomic: bool = False) -> _T:
        """Run `work` in a transaction and commit it.

        Running work is not cancelled, so that its outcome is known. After the timeout its thread is abandoned
        and ends by itself: whatever it still commits carries a number, which a retry recognizes. `atomic`
        means that `work` is one statement, which needs no BEGIN and no COMMIT.

        Raises SessionStoreError, or an AgentError of `work`. Other exceptions of `work` are logged.
        """

        def prepared(opened: StoreConnection) -> _T:
            connection = opened.connection.execution_options(**{TENANT_OPTION: self.tenant})
            if self._schema is not None:
                connection = connection.execution_options(schema_translate_map={None: self._schema})
            try:
                return work(connection)
            except (SessionStoreError, AgentError):
                raise
            except Exception as error:
                if database_errors.is_of_database(error, connecting=False):
                    raise
                # Without this, a bug in the host's writer would end the agents of all chats.
                _log.exception("%s: the writer has failed", operation)
                raise SessionStoreError(
                    f"{operation}: the writer raised {type(error).__name__}; the log says where"
                ) from error

        def in_transaction() -> _T:
            if atomic:
                return self._unit_of_work.write_atomic(operation, prepared, lambda: None)
            return self._unit_of_work.write(operation, prepared, bounded=False)

        try:
            with anyio.fail_after(self._seconds, shield=True):
                if self._is_async:
                    return await in_greenlet(in_transaction)
                return await in_abandoned_thread(in_transaction)
        except TimeoutError:
            raise self._timed_out(operation) from None

    def _timed_out(self, operation: str) -> TimedOutError:
        return TimedOutError(f"{operation}: the database did not answer within {self._seconds:g} s; check it")
