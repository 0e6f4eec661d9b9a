"""Runs work over a bind: with a deadline, with retries where they help, and with our own errors.

Over an Engine or a sessionmaker each call is its own transaction. Over a Connection or a Session it joins the
caller's transaction and never commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Pool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import scoped_session

from boocode_sessions import engine as settings
from boocode_sessions import errors
from boocode_sessions._core import database_errors, distributed, observing, transactions
from boocode_sessions._core.binds import check_bind, shown_bind
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.deadline import Deadline, cutter, note_connection
from boocode_sessions._core.replica import Replicated
from boocode_sessions._core.schema_check import (
    check_columns,
    check_connections_encoding,
    check_encoding,
    check_schema,
)
from boocode_sessions._core.tenants import TENANT_OPTION, check_tenant, set_tenant
from boocode_sessions._core.transactions import CurrentSession
from boocode_sessions.engine import check_dialect

T = TypeVar("T")

Bind: TypeAlias = Engine | Callable[[], OrmSession] | Connection | OrmSession | Replicated
"""An Engine; a sessionmaker or similar function; a Connection; a Session; or two Engines (Replicated)."""

Work: TypeAlias = Callable[[StoreConnection], T]

_MAX_TRIES = 5
"""Maximum tries for our own transaction if it keeps losing against others, at a stricter isolation level."""

_schema_checked: WeakKeyDictionary[Pool, Collection[str | None]] = WeakKeyDictionary()


class UnitOfWork:
    """Runs work over a bind.

    Each method takes an `operation`, the label in error messages: "load session 'x' of ...". Each raises a
    SessionStoreError in place of what a database or driver raises.
    """

    def __init__(
        self,
        bind: Bind | CurrentSession,
        schema: str | None = None,
        cipher: Cipher | None = None,
        tenant: str | None = None,
    ) -> None:
        if isinstance(bind, scoped_session):
            bind = CurrentSession(bind)
        self.given = bind
        self._replicated = bind if isinstance(bind, Replicated) else None
        if isinstance(bind, Replicated):
            bind = bind.primary
        known = isinstance(bind, Engine | Connection | OrmSession | CurrentSession) or callable(bind)
        check_bind(bind, known=known)
        self.bind = bind
        self.schema = schema
        self.cipher = cipher
        if tenant is None and isinstance(bind, Engine | Connection):
            tenant = bind.get_execution_options().get(TENANT_OPTION)
        self.tenant = check_tenant(tenant)
        if self._replicated is not None:
            self._replica = UnitOfWork(self._replicated.replica, schema, cipher, self.tenant)

    def __repr__(self) -> str:
        shown = shown_bind(self.bind.get if isinstance(self.bind, CurrentSession) else self.bind)
        named = {"schema": self.schema, "tenant": self.tenant}
        return ", ".join([shown, *(f"{name} {value!r}" for name, value in named.items() if value)])

    @property
    def own(self) -> bool:
        """True if each call is its own transaction."""
        return not isinstance(self.bind, Connection | OrmSession | CurrentSession)

    @property
    def dialect(self) -> str | None:
        """Dialect name, or None if unknown until connected."""
        return self.bind.dialect.name if isinstance(self.bind, Engine | Connection) else None

    def read(self, operation: str, work: Work[T]) -> T:
        """Run work that is one SELECT. On PostgreSQL over an Engine this takes one round trip.

        If a pooled connection turns out to be dead, as after a server's restart, or its prepared plan to be
        outdated, the work is run again. Nobody else would retry, and resuming the session would fail.
        """
        if self._replicated is not None:
            return self._replicated.read(operation, work, self._read, self._replica.read)
        return self._read(operation, work)

    def _read(self, operation: str, work: Work[T]) -> T:
        connections = transactions.autocommitting if self._single_statements else transactions.reading
        try:
            return self._run(operation, work, lambda: connections(self.bind))
        except errors.DatabaseError as error:
            lost = isinstance(error, errors.UnavailableError) and error.connection_lost
            if not (self.own and (lost or error.sqlstate == database_errors.STALE_PLAN)):
                raise
            _report_retry(error)
        return self._run(operation, work, lambda: connections(self.bind))

    def scan(self, operation: str, work: Work[T]) -> T:
        """Run work that reads rows as they arrive, for as long as it takes.

        It runs in a transaction, because the server keeps a cursor only there. Over a replica, it may start
        again on the primary.
        """
        if self._replicated is not None:
            return self._replicated.read(operation, work, self._scan, self._replica.scan)
        return self._scan(operation, work)

    def _scan(self, operation: str, work: Work[T]) -> T:
        return self._run(operation, work, lambda: transactions.reading(self.bind), bounded=False)

    def write(
        self,
        operation: str,
        work: Work[T],
        in_doubt: Callable[[], None] = lambda: None,
        *,
        lock_seconds: float | None = None,
        bounded: bool = True,
    ) -> T:
        """Run work in a transaction. If our own transaction loses against a concurrent one, run it again.

        `in_doubt` is called if the answer to a COMMIT was lost, before the error is raised: the writes may be
        there or not. `lock_seconds` is how long to wait for another transaction's lock on PostgreSQL; the
        default is the connection's own limit. `bounded` applies the client's deadline.
        """

        def limited(connection: StoreConnection) -> T:
            if lock_seconds is not None:
                distributed.limit_lock_wait(connection.connection, lock_seconds)
            return work(connection)

        tries = _MAX_TRIES if self.own else 1
        while True:
            tries -= 1
            try:
                return self._run(
                    operation, limited, lambda: transactions.writing(self.bind, in_doubt), bounded=bounded
                )
            except errors.DatabaseError as error:
                outdated = error.sqlstate == database_errors.STALE_PLAN
                if not tries or not (outdated or isinstance(error, errors.RetryableError)):
                    raise
                _report_retry(error)

    def write_atomic(self, operation: str, work: Work[T], in_doubt: Callable[[], None]) -> T:
        """Run work that is one statement, which is atomic by itself, without BEGIN and COMMIT if possible."""
        if not self._single_statements:
            return self.write(operation, work, in_doubt)
        return self._run(operation, work, lambda: transactions.autocommitting(self.bind, in_doubt))

    @property
    def _single_statements(self) -> bool:
        """True if a single statement may run without BEGIN and COMMIT.

        That is on PostgreSQL, over an Engine at READ COMMITTED, the default. A host that sets another level
        means it.
        """
        bind = self.bind
        return (
            isinstance(bind, Engine)
            and bind.dialect.name == "postgresql"
            and "isolation_level" not in bind.get_execution_options()
            and self.tenant is None  # a tenant has to be set inside a transaction
            and getattr(bind.dialect, "default_isolation_level", None) == "READ COMMITTED"
        )

    def _run(
        self,
        operation: str,
        work: Work[T],
        connections: Callable[[], AbstractContextManager[Connection]],
        *,
        bounded: bool = True,
    ) -> T:
        seconds = settings.CALL_SECONDS
        connecting_seconds = settings.POOL_SECONDS + settings.CONNECT_SECONDS
        limit = Deadline(seconds, connecting_seconds) if bounded and self.own else None
        connected = False
        caught: Exception | None = None
        try:
            with limit or nullcontext(), connections() as connection:
                connected = True
                cut = cutter(connection)
                note_connection(connection, cut)
                if limit is not None:
                    limit.start(cut)
                return self._run_on(connection, work)
        except Exception as error:
            if not database_errors.is_of_database(error, connecting=not connected):
                raise
            caught = error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if limit is None or not limit.expired or task is None or task.uncancel():
                raise  # somebody else cancelled it
        # Raised outside the handler: the driver's error repeats parameters and must not be chained to ours.
        if caught is None or (limit is not None and limit.expired):
            raise database_errors.timed_out(operation, seconds, connected=connected)
        raise self._explained(caught, operation)

    def _run_on(self, connection: Connection, work: Work[T]) -> T:
        try:
            tenant = self.tenant or connection.get_execution_options().get(TENANT_OPTION)
            set_tenant(connection, tenant)
            opened = StoreConnection(connection, self.schema, self.cipher, tenant)
            self._check(opened)
            return work(opened)
        except SQLAlchemyError as error:
            if self.own and database_errors.sqlstate_of(error) == database_errors.STALE_PLAN:
                distributed.forget(connection.engine.pool)
                connection.invalidate()
            raise

    def _check(self, connection: StoreConnection) -> None:
        """Check the encoding, and once per pool, or after a failure that it could explain, the schema."""
        check_connections_encoding(connection.connection)
        pool = connection.connection.engine.pool
        checked = _schema_checked.get(pool, ())
        if (schema := connection.effective_schema) not in checked:
            check_dialect(connection.dialect)
            check_encoding(connection.connection)
            check_schema(connection)
            _schema_checked[pool] = {*checked, schema}

    def _explained(self, error: Exception, operation: str) -> errors.SessionStoreError:
        failure = database_errors.translate(error, operation)
        if not database_errors.may_be_schema(error) or not isinstance(self.bind, Engine):
            return failure
        _schema_checked.pop(self.bind.pool, None)
        try:
            with transactions.connected(self.bind) as connection:
                opened = StoreConnection(connection, self.schema)
                check_schema(opened)
                check_columns(opened)
        except errors.SchemaError as schema_error:
            return schema_error
        except Exception as looking:
            if not database_errors.is_of_database(looking, connecting=True):
                raise  # A database's error is dropped here: the first failure says more.
        return failure


def run_over(engine: Engine, operation: str, work: Callable[[Connection], T]) -> T:
    """Run work that no unit of work is for: in no transaction yet, or on a database without our tables.

    Raises SessionStoreError.
    """
    try:
        with transactions.connected(engine) as connection:
            return work(connection)
    except Exception as error:
        if not database_errors.is_of_database(error, connecting=True):
            raise
        failure = database_errors.translate(error, operation)
    raise failure


def _report_retry(error: Exception) -> None:
    if (watching := observing.observer()) is not None:
        watching.retried(error)
