"""Whose transaction a call runs in: the one place that begins, commits, and translates errors.

Over an Engine or a sessionmaker each call is a transaction of its own. Over a Connection or a Session it
joins the caller's and never commits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Pool, RootTransaction
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import scoped_session

from boocode_sessions import engine as settings
from boocode_sessions import errors
from boocode_sessions._core import database_errors, distributed, observing
from boocode_sessions._core.binds import check_bind, shown_bind
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.deadline import Deadline, deadline, note_connection
from boocode_sessions._core.one_connection_pools import alone
from boocode_sessions._core.replica import Replicated
from boocode_sessions._core.schema_check import (
    check_columns,
    check_encoding,
    check_schema,
    check_transactional,
)
from boocode_sessions._core.tenants import TENANT_OPTION, check_tenant, say_tenant
from boocode_sessions.engine import READING, check_dialect
from boocode_sessions.models import ClaudeSessionEntry

T = TypeVar("T")

Bind: TypeAlias = Engine | Callable[[], OrmSession] | Connection | OrmSession | Replicated
"""An Engine; a sessionmaker, or what else makes a new Session; a Connection; a Session; or two Engines."""


class CurrentSession(NamedTuple):
    """A host's Session that is asked for anew at each call, as scoped sessions are."""

    get: Callable[[], OrmSession]


Work: TypeAlias = Callable[[StoreConnection], T]

_BIND_ARGUMENTS = {"mapper": ClaudeSessionEntry}
"""A Session may have several binds; ours is the one that it has for our models."""

_MOST_TRIES = 5
"""Of a transaction of our own that loses against concurrent ones, at a stricter isolation level."""

_schema_checked: WeakKeyDictionary[Pool, set[object]] = WeakKeyDictionary()


class UnitOfWork:
    """Runs work over a bind.

    `operation`, a parameter of each method, is the label that error messages name: "load session 'x' of ...".
    Every method raises a SessionStoreError for what a database or driver raises.
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
        return f"{shown}, schema {self.schema!r}" if self.schema else shown

    @property
    def own(self) -> bool:
        """Whether each call is a transaction of its own."""
        return not isinstance(self.bind, Connection | OrmSession | CurrentSession)

    @property
    def dialect(self) -> str | None:
        """Dialect name, or None if unknown until connected."""
        return self.bind.dialect.name if isinstance(self.bind, Engine | Connection) else None

    def read(self, operation: str, work: Work[T]) -> T:
        """Run work that is one SELECT. On PostgreSQL over an Engine that is one round trip.

        It is run again where a pooled connection turns out to be dead, as after a restart of the server, or
        its plan outdated: nobody but us would read again, and a resume would fail.
        """
        if self._replicated is not None:
            return self._replicated.read(operation, work, self._read, self._replica.read)
        return self._read(operation, work)

    def _read(self, operation: str, work: Work[T]) -> T:
        connections = self._autocommitting if self._single_statements else self._scanning
        try:
            return self._run(operation, work, connections)
        except errors.DatabaseError as error:
            lost = isinstance(error, errors.UnavailableError) and error.connection_lost
            if not (self.own and (lost or error.sqlstate == database_errors.STALE_PLAN)):
                raise
            _tell_retried(error)
        return self._run(operation, work, connections)

    def scan(self, operation: str, work: Work[T]) -> T:
        """Run work that reads rows as they come, for as long as it takes: the server keeps a cursor only in a
        transaction. From a replica it may begin anew, on the primary."""
        if self._replicated is not None:
            return self._replicated.read(operation, work, self._scan, self._replica.scan)
        return self._scan(operation, work)

    def _scan(self, operation: str, work: Work[T]) -> T:
        return self._run(operation, work, self._scanning, bounded=False)

    def write(
        self,
        operation: str,
        work: Work[T],
        in_doubt: Callable[[], None] = lambda: None,
        *,
        lock_seconds: float | None = None,
        bounded: bool = True,
    ) -> T:
        """Run work in a transaction; one of our own again where it loses against a concurrent one.

        `in_doubt` is called when the answer to a COMMIT was lost, before the error is raised: what was
        written may be there or not. `lock_seconds`: how long to wait for another's lock, on PostgreSQL; by
        default as long as the connection does. `bounded`: with the client's deadline.
        """

        def limited(connection: StoreConnection) -> T:
            if lock_seconds is not None:
                distributed.limit_lock_wait(connection.connection, lock_seconds)
            return work(connection)

        tries = _MOST_TRIES if self.own else 1
        while True:
            tries -= 1
            try:
                return self._run(operation, limited, lambda: self._writing(in_doubt), bounded=bounded)
            except errors.DatabaseError as error:
                outdated = error.sqlstate == database_errors.STALE_PLAN
                if not tries or not (outdated or isinstance(error, errors.RetryableError)):
                    raise
                _tell_retried(error)

    def write_atomic(self, operation: str, work: Work[T], in_doubt: Callable[[], None]) -> T:
        """Run work that is one statement, atomic by itself: without BEGIN and COMMIT where that can be."""
        if not self._single_statements:
            return self.write(operation, work, in_doubt)
        return self._run(operation, work, lambda: self._autocommitting(in_doubt))

    @property
    def _single_statements(self) -> bool:
        """Whether a lone statement may run without BEGIN and COMMIT.

        On PostgreSQL, over an Engine at READ COMMITTED, the default. Any other level is the host's wish.
        """
        bind = self.bind
        return (
            isinstance(bind, Engine)
            and bind.dialect.name == "postgresql"
            and "isolation_level" not in bind.get_execution_options()
            and self.tenant is None  # the tenant is said inside the transaction
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
        limit: Deadline | None = None
        connected = False
        try:
            with connections() as connection:
                connected = True
                note_connection(connection)
                with self._limited(connection, seconds if bounded else None) as limit:
                    opened = self._opened(connection)
                    self._check(opened)
                    return work(opened)
        except Exception as error:
            if not database_errors.is_of_database(error, connecting=not connected):
                raise
            caught = error
        # Outside the handler: the driver's error repeats parameters, and must not be chained to ours.
        if limit is not None and limit.expired:
            raise database_errors.timed_out(operation, seconds)
        raise self._explained(caught, operation)

    @contextmanager
    def _limited(self, connection: Connection, seconds: float | None) -> Generator[Deadline | None]:
        """The client's deadline, over a connection of our own; and no plan that the server has outgrown."""
        with nullcontext() if seconds is None or not self.own else deadline(connection, seconds) as limit:
            try:
                yield limit
            except SQLAlchemyError as error:
                if self.own and database_errors.sqlstate_of(error) == database_errors.STALE_PLAN:
                    distributed.forget(connection.engine.pool)
                    connection.invalidate()
                raise

    @contextmanager
    def _scanning(self) -> Generator[Connection]:
        if isinstance(self.bind, Engine):
            with alone(self.bind.pool), observing.connect(self.bind) as connection:
                # Our own SQLite engines begin with the write lock otherwise: see engine.prepare_sqlite.
                yield connection.execution_options(**{READING: True})
        else:
            with self._writing(lambda: None, checked=False) as connection:
                yield connection

    @contextmanager
    def _autocommitting(self, in_doubt: Callable[[], None] = lambda: None) -> Generator[Connection]:
        assert isinstance(self.bind, Engine)  # noqa: S101 - callers ask `_single_statements` first
        # Around the connection: pg8000 sends a COMMIT when it is given back, which may fail after the append.
        with alone(self.bind.pool), _noting_doubt(in_doubt), observing.connect(self.bind) as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _writing(self, in_doubt: Callable[[], None], *, checked: bool = True) -> Generator[Connection]:
        """`checked`: that the transaction is a real one, which work that only reads does not need."""
        bind = self.bind
        check: Callable[[Connection], None] = check_transactional if checked else _unchecked
        if isinstance(bind, CurrentSession):
            bind = bind.get()
        if isinstance(bind, Connection):
            check(bind)
            yield bind
        elif isinstance(bind, OrmSession):
            connection = bind.connection(bind_arguments=_BIND_ARGUMENTS)
            check(connection)
            yield connection
        elif isinstance(bind, Engine):
            with alone(bind.pool), observing.connect(bind) as connection, _begun(connection) as transaction:
                check(connection)
                yield connection
                with _noting_doubt(in_doubt):
                    transaction.commit()
        else:
            with bind() as db, alone(db.get_bind(ClaudeSessionEntry).engine.pool):
                if not db.in_transaction():
                    db.begin()
                connection = db.connection(bind_arguments=_BIND_ARGUMENTS)
                check(connection)
                yield connection
                with _noting_doubt(in_doubt):
                    db.commit()

    def _opened(self, connection: Connection) -> StoreConnection:
        """A connection whose transaction works for our tenant, until it ends."""
        tenant = self.tenant or connection.get_execution_options().get(TENANT_OPTION)
        say_tenant(connection, tenant)
        return StoreConnection(connection, self.schema, self.cipher, tenant)

    def _check(self, connection: StoreConnection) -> None:
        """Once per pool and schema, and again after a failure that a wrong schema would explain."""
        checked = _schema_checked.setdefault(connection.connection.engine.pool, set())
        if (schema := connection.effective_schema) not in checked:
            check_dialect(connection.dialect)
            check_encoding(connection.connection)
            check_schema(connection)
            checked.add(schema)

    def _explained(self, error: Exception, operation: str) -> errors.SessionStoreError:
        failure = database_errors.translate(error, operation)
        if not database_errors.may_be_schema(error) or not isinstance(self.bind, Engine):
            return failure
        _schema_checked.pop(self.bind.pool, None)
        try:
            with self.bind.connect() as connection:
                opened = StoreConnection(connection, self.schema)
                check_schema(opened)
                check_columns(opened)
        except errors.SchemaError as schema_error:
            return schema_error
        except Exception as looking:
            if not database_errors.is_of_database(looking, connecting=True):
                raise  # else the first failure tells more
        return failure


def _tell_retried(error: Exception) -> None:
    if (watching := observing.observer()) is not None:
        watching.retried(error)


def _begun(connection: Connection) -> RootTransaction:
    """A transaction, which on SQLite waits for other writers."""
    if connection.dialect.name != "sqlite":
        return connection.begin()
    return observing.lock("sqlite", connection.begin)


def _unchecked(_: Connection) -> None:
    """In place of check_transactional."""


@contextmanager
def _noting_doubt(in_doubt: Callable[[], None]) -> Generator[None]:
    """Call `in_doubt` where what is run here may have landed, though it raises."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) or database_errors.leaves_doubt(error):
            in_doubt()
        raise
