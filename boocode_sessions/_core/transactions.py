"""The connection of a call and its transaction, which is either its own or the caller's."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.orm import Session as OrmSession

from boocode_sessions._core import database_errors, distributed, observing
from boocode_sessions._core.binds import check_loop
from boocode_sessions._core.deadline import limit_connecting
from boocode_sessions._core.one_connection_pools import exclusive
from boocode_sessions._core.schema_check import check_transactional
from boocode_sessions.engine import READING
from boocode_sessions.models import ClaudeSessionEntry


class CurrentSession(NamedTuple):
    """A function that returns a host's current Session, as for scoped sessions. Each call asks it anew."""

    get: Callable[[], OrmSession]


SingleBind: TypeAlias = Engine | Callable[[], OrmSession] | Connection | OrmSession | CurrentSession

_BIND_ARGUMENTS = {"mapper": ClaudeSessionEntry}
"""A Session may have several binds. This selects the one for our models."""


@contextmanager
def reading(bind: SingleBind) -> Generator[Connection]:
    """Yield a connection for work that only reads."""
    if isinstance(bind, Engine):
        with connected(bind) as connection:
            # Otherwise our own SQLite engines begin with the write lock: see engine.prepare_sqlite.
            yield connection.execution_options(**{READING: True})
    else:
        with writing(bind, lambda: None, checked=False) as connection:
            yield connection


@contextmanager
def autocommitting(bind: SingleBind, in_doubt: Callable[[], None] = lambda: None) -> Generator[Connection]:
    """Yield a connection for one statement over an Engine, which is atomic without BEGIN and COMMIT.

    `in_doubt` is called if an error is raised although the statement may have landed.
    """
    assert isinstance(bind, Engine)  # noqa: S101 - the unit of work asks first
    try:
        with connected(bind) as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    except BaseException as error:
        # The error may come from giving the connection back: pg8000 sends a COMMIT then, after the append.
        _note_doubt(error, in_doubt)
        raise


@contextmanager
def writing(bind: SingleBind, in_doubt: Callable[[], None], *, checked: bool = True) -> Generator[Connection]:
    """Yield a connection in a transaction. Commit it at the end, unless it is the caller's.

    `in_doubt` is called if an error is raised although a COMMIT may have landed. `checked` requires a real
    transaction, which work that writes needs.
    """
    check: Callable[[Connection], None] = check_transactional if checked else _unchecked
    if isinstance(bind, CurrentSession):
        bind = bind.get()
    if isinstance(bind, Connection):
        check(bind)
        with fetched_at_once(bind):
            yield bind
    elif isinstance(bind, OrmSession):
        connection = bind.connection(bind_arguments=_BIND_ARGUMENTS)
        check(connection)
        with fetched_at_once(connection):
            yield connection
    elif isinstance(bind, Engine):
        with connected(bind) as connection, _begun(connection) as transaction:
            check(connection)
            yield connection
            with _committing(in_doubt):
                transaction.commit()
    else:
        made = bind()
        if not isinstance(made, OrmSession):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"bind is a function that makes a Session, not a {type(made).__name__}")
        with made as db, _held(db.get_bind(ClaudeSessionEntry).engine):
            if not db.in_transaction():
                db.begin()
            connection = db.connection(bind_arguments=_BIND_ARGUMENTS)
            check(connection)
            with fetched_at_once(connection):
                yield connection
            with _committing(in_doubt):
                db.commit()


@contextmanager
def connected(engine: Engine) -> Generator[Connection]:
    """Yield a connection from an engine's pool. It has no transaction yet."""
    with _held(engine), observing.connect(engine) as connection, fetched_at_once(connection):
        yield connection


def fetched_at_once(connection: Connection) -> AbstractContextManager[object]:
    """Turn off the server-side cursors that a host's execution options ask for.

    Such a cursor works only for one SELECT in a transaction. Our statements that want one ask for it.
    """
    options = connection.get_execution_options()
    given = {name: options[name] for name in ("stream_results", "yield_per") if options.get(name)}
    return _without(connection, given) if given else nullcontext()


@contextmanager
def _without(connection: Connection, options: Mapping[str, Any]) -> Generator[None]:
    connection.execution_options(**dict.fromkeys(options))
    try:
        yield
    finally:
        connection.execution_options(**options)


def _held(engine: Engine) -> AbstractContextManager[object]:
    """Guard an engine while it is used: see `exclusive`. Raises UnsupportedBindError like `check_loop`."""
    check_loop(engine)
    if engine.dialect.is_async and engine.dialect.name == "postgresql":
        limit_connecting()
    return exclusive(engine.pool)


def _begun(connection: Connection) -> RootTransaction:
    """Begin a transaction. On SQLite this waits for other writers."""
    if connection.dialect.name != "sqlite":
        return connection.begin()
    return observing.lock("sqlite", connection.begin)


def _unchecked(_: Connection) -> None:
    """Stand in for check_transactional."""


def _note_doubt(error: BaseException, in_doubt: Callable[[], None]) -> None:
    """Call `in_doubt` if the work that raised this error may have landed."""
    if not isinstance(error, Exception) or database_errors.leaves_doubt(error):
        in_doubt()


@contextmanager
def _committing(in_doubt: Callable[[], None]) -> Generator[None]:
    try:
        yield
    except BaseException as error:
        if database_errors.sqlstate_of(error) == distributed.FAILED_INSIDE:
            in_doubt()
            raise distributed.UncertainCommitError from error
        _note_doubt(error, in_doubt)
        raise
