"""Whose transaction a call runs in: the one place that begins, commits, and translates errors.

Over an Engine or a sessionmaker each call is a transaction of its own. Over a Connection or a Session it
joins the caller's and never commits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Pool, Select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import scoped_session
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase

from boocode_sessions import errors
from boocode_sessions._core import psycopg_driver as direct
from boocode_sessions._core import psycopg_pipeline as pipelines
from boocode_sessions._core.operations import Tables, check_columns, check_schema
from boocode_sessions.engine import READING
from boocode_sessions.models import ClaudeSessionEntry

T = TypeVar("T")

Bind: TypeAlias = Engine | Callable[[], OrmSession] | Connection | OrmSession
"""An Engine; a sessionmaker, or what else makes a new Session; a Connection; a Session."""

_BIND_ARGUMENTS = {"mapper": ClaudeSessionEntry}
"""A Session may have several binds; ours is the one that it has for our models."""

_schema_checked: WeakKeyDictionary[Pool, set[object]] = WeakKeyDictionary()


class Transactions:
    """Runs operations over a bind."""

    def __init__(self, bind: Bind, schema: str | None = None) -> None:
        if isinstance(bind, scoped_session):
            bind = cast("OrmSession", bind())
        if not (isinstance(bind, Engine | Connection | OrmSession) or callable(bind)):
            raise TypeError(
                f"bind is an Engine, sessionmaker, Connection or Session, not {type(bind).__name__}"
            )
        self.bind = bind
        self.schema = schema
        self._statements: dict[ClauseElement, direct.Compiled] = {}
        self._autocommit = (
            bind.execution_options(isolation_level="AUTOCOMMIT") if isinstance(bind, Engine) else None
        )

    @property
    def own(self) -> bool:
        """Whether each call is a transaction of its own."""
        return not isinstance(self.bind, Connection | OrmSession)

    @property
    def dialect(self) -> str | None:
        """The database's name in SQLAlchemy, where the bind tells it before a call."""
        return self.bind.dialect.name if isinstance(self.bind, Engine | Connection) else None

    def read(self, doing: str, operation: Callable[[Tables], T]) -> T:
        """Run an operation of one SELECT. On PostgreSQL over an Engine that is one round trip.

        Over an Engine again where a connection of the pool turns out to be dead, as after a restart of the
        server: nobody but us would read again, and a resume would fail.
        """
        return self._again_if_dead(lambda: self._run(doing, operation, self._reading))

    def read_each(
        self,
        doing: str,
        statement: Select[*tuple[Any, ...]],
        parameters: Mapping[str, Any],
        begin: Callable[[], Callable[[Any], None]],
    ) -> None:
        """Run one SELECT and hand over its rows, one by one, to what `begin` returns.

        On PostgreSQL over an Engine that is one round trip, while the server still sends the rest. It is read
        again as by `read`, to what `begin` returns then.
        """

        def operation(tables: Tables) -> None:
            take = begin()
            for row in tables.select(statement, parameters):
                take(row)

        def work() -> None:
            if (engine := self._past_core()) is None:
                return self._run(doing, operation, self._reading)
            compiled = self._compiled(engine, statement)
            return self._explaining(doing, lambda: direct.each(engine, compiled, parameters, begin()))

        self._again_if_dead(work)

    def write(
        self, doing: str, operation: Callable[[Tables], T], in_doubt: Callable[[], None] = lambda: None
    ) -> T:
        """Run an operation in a transaction.

        `in_doubt` is called when the answer to a COMMIT was lost, before the error is raised: what was
        written may be there or not.
        """
        return self._run(doing, operation, lambda: self._writing(in_doubt))

    def write_statement(
        self,
        doing: str,
        statement: ReturningUpdate[T],
        parameters: Mapping[str, Any],
        in_doubt: Callable[[], None],
    ) -> list[T]:
        """Run one statement that is atomic by itself: no BEGIN, no COMMIT. Returns its first column."""

        def core(tables: Tables) -> list[T]:
            return [row[0] for row in tables.select(statement, parameters)]

        def past_core(engine: Engine) -> list[T]:
            with _noting_doubt(in_doubt):
                return [row[0] for row in direct.fetch(engine, self._compiled(engine, statement), parameters)]

        if (engine := self._past_core()) is not None:
            return self._explaining(doing, lambda: past_core(engine))
        return self._run(doing, core, lambda: self._autocommitting(in_doubt))

    @property
    def pipelines(self) -> bool:
        """Whether `write_pipelined` can be called now."""
        return self._past_core() is not None and pipelines.supported()

    def write_pipelined(
        self,
        doing: str,
        steps: Iterable[tuple[UpdateBase, Mapping[str, Any]]],
        in_doubt: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        """Run statements in a transaction and in one round trip, each sent when `steps` comes to it.

        Returns the first column of the first, if it has rows. Raises what `steps` raises too, and writes
        nothing then. For an Engine that `pipelines`.
        """
        engine = cast("Engine", self.bind)

        def work() -> list[Any]:
            compiled = ((self._compiled(engine, statement), given) for statement, given in steps)
            with _noting_doubt(in_doubt):
                return [row[0] for row in pipelines.run(engine, compiled)]

        return self._explaining(doing, work)

    def scan(self, doing: str, operation: Callable[[Tables], T]) -> T:
        """Run an operation that reads rows as they come: the server keeps a cursor only in a transaction."""
        return self._run(doing, operation, self._scanning)

    @property
    def single_statements(self) -> bool:
        """Whether a lone statement may run without BEGIN and COMMIT.

        On PostgreSQL, over an Engine at READ COMMITTED, the default. Any other level is the host's wish.
        """
        bind = self.bind
        return (
            isinstance(bind, Engine)
            and bind.dialect.name == "postgresql"
            and "isolation_level" not in bind.get_execution_options()
            and getattr(bind.dialect, "default_isolation_level", None) == "READ COMMITTED"
        )

    def _again_if_dead(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except errors.UnavailableError as error:
            if not (error.connection_lost and isinstance(self.bind, Engine)):
                raise
        return work()

    def _run(
        self,
        doing: str,
        operation: Callable[[Tables], T],
        connections: Callable[[], AbstractContextManager[Connection]],
    ) -> T:
        def work() -> T:
            with connections() as connection:
                tables = Tables(connection, self.schema)
                self._check(tables)
                return operation(tables)

        return self._explaining(doing, work)

    def _explaining(self, doing: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except (SQLAlchemyError, UnicodeError) as error:
            caught: Exception = error
        # Outside the handler: the driver's error repeats parameters, and must not be chained to ours.
        failure = self._explained(caught, doing)
        raise failure or caught

    def _past_core(self) -> Engine | None:
        """The engine, where a lone statement may go past SQLAlchemy's Connection: see direct."""
        engine = self.bind
        if (
            isinstance(engine, Engine)
            and self.single_statements
            and direct.possible(engine)
            and self._schemas(engine) in _schema_checked.get(engine.pool, ())
        ):
            return engine
        return None

    def _compiled(self, engine: Engine, statement: ClauseElement) -> direct.Compiled:
        if (made := self._statements.get(statement)) is None:
            made = self._statements[statement] = direct.compiled(engine, statement, self.schema)
        return made

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        if self._autocommit is not None and self.single_statements:
            with self._autocommit.connect() as connection:
                yield connection
        else:
            with self._scanning() as connection:
                yield connection

    @contextmanager
    def _scanning(self) -> Generator[Connection]:
        if isinstance(self.bind, Engine):
            with self.bind.connect() as connection:
                # Our own SQLite engines begin with the write lock otherwise: see engine.prepare_sqlite.
                yield connection.execution_options(**{READING: True})
        else:
            with self._writing(lambda: None) as connection:
                yield connection

    @contextmanager
    def _autocommitting(self, in_doubt: Callable[[], None]) -> Generator[Connection]:
        assert self._autocommit is not None  # noqa: S101 - callers ask `single_statements` first
        with self._autocommit.connect() as connection, _noting_doubt(in_doubt):
            yield connection

    @contextmanager
    def _writing(self, in_doubt: Callable[[], None]) -> Generator[Connection]:
        bind = self.bind
        if isinstance(bind, Connection):
            yield bind
        elif isinstance(bind, OrmSession):
            yield bind.connection(bind_arguments=_BIND_ARGUMENTS)
        elif isinstance(bind, Engine):
            with bind.connect() as connection, connection.begin() as transaction:
                yield connection
                with _noting_doubt(in_doubt):
                    transaction.commit()
        else:
            with bind() as db:
                if not db.in_transaction():
                    db.begin()
                yield db.connection(bind_arguments=_BIND_ARGUMENTS)
                with _noting_doubt(in_doubt):
                    db.commit()

    def _check(self, tables: Tables) -> None:
        """Once per pool and schema, and again after a failure that a wrong schema would explain."""
        connection = tables.connection
        checked = _schema_checked.setdefault(connection.engine.pool, set())
        if (schemas := self._schemas(connection)) not in checked:
            check_schema(tables)
            checked.add(schemas)

    def _schemas(self, bind: Engine | Connection) -> tuple[str | None, str | None]:
        return self.schema, bind.get_execution_options().get("schema_translate_map", {}).get(None)

    def _explained(self, error: Exception, doing: str) -> errors.SessionStoreError | None:
        failure = errors.translate(error, doing)
        if failure is None or not errors.may_be_schema(error) or not isinstance(self.bind, Engine):
            return failure
        _schema_checked.pop(self.bind.pool, None)
        try:
            with self.bind.connect() as connection:
                tables = Tables(connection, self.schema)
                check_schema(tables)
                check_columns(tables)
        except errors.SchemaError as schema_error:
            return schema_error
        except SQLAlchemyError:
            pass  # the first failure tells more
        return failure


@contextmanager
def _noting_doubt(in_doubt: Callable[[], None]) -> Generator[None]:
    """Call `in_doubt` where what is run here may have landed, though it raises."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) or errors.leaves_doubt(error):
            in_doubt()
        raise
