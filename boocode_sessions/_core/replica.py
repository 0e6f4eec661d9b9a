"""Reads from a streaming standby that are never older than the moment they began.

Each read first asks the primary where its log stands, which touches no table. It then waits until the standby
has replayed the log up to there. So it finds everything that was acknowledged before it began, whoever wrote
it. If the standby isn't that far in time, the read goes to the primary.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, scoped_session

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.deadline import Deadline, cutter
from boocode_sessions._core.statements.parameters import SESSIONS, table_name
from boocode_sessions._core.statements.standby import select_position, select_replayed
from boocode_sessions._core.tenants import set_tenant
from boocode_sessions.errors import DatabaseError, SchemaError, TimedOutError, UnavailableError

WAIT_SECONDS = 0.5
"""How long a read waits for a standby that is behind. This is read at each call."""
BEHIND_SECONDS = 2.0
"""How long reads go straight to the primary after a wait was in vain. This is read at each call."""
DOWN_SECONDS = 10.0
"""How long reads go straight to the primary after the standby has failed in another way."""

_ANSWER_SECONDS = 2.0
"""How many seconds more a standby gets to say where it stands. One that doesn't answer counts as hung."""
_MAX_PAUSE_SECONDS = 0.05

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Reads(Protocol):
    """A function that reads from one database: UnitOfWork.read or UnitOfWork.scan."""

    def __call__(self, operation: str, work: Callable[[StoreConnection], _T], /) -> _T: ...


class Replicated:
    """A PostgreSQL primary and its read replica. It is a bind for `queries`, `export_tree` and others.

    Calls that only read may go to the replica; all others go to the primary. A read finds everything that was
    acknowledged before it began. If the replica is down, behind or promoted, the read goes to the primary
    after a short wait.

    Args:
        primary: An Engine or a sessionmaker. Each call is its own transaction.
        replica: An Engine whose URL leads to one or more streaming standbys of that primary.

    Raises:
        TypeError: One of them is something else, or is not over PostgreSQL.
    """

    def __init__(self, primary: Engine | Callable[[], Session], replica: Engine) -> None:
        given: object = primary
        joins = isinstance(given, Connection | Session | scoped_session)
        if joins or not (isinstance(given, Engine) or callable(given)):
            raise TypeError(
                f"with a replica, bind is an Engine or a sessionmaker, not {type(primary).__name__}: "
                "a Connection or a Session reads in its own transaction"
            )
        if not isinstance(replica, Engine):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise TypeError(f"replica is an Engine, not {type(replica).__name__}")
        for engine in (primary, replica):
            if isinstance(engine, Engine) and engine.dialect.name != "postgresql":
                raise TypeError(f"only PostgreSQL has replicas, not {engine.dialect.name}")
        self.primary = primary
        self.replica = replica
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.primary!r}, {self.replica!r}>"

    def read(
        self, operation: str, work: Callable[[StoreConnection], _T], on_primary: Reads, on_replica: Reads
    ) -> _T:
        """Run work that only reads, on the replica if it can be up to date in time.

        Args:
            operation: The label that error messages name.
            work: Reads over the connection that it gets.
            on_primary: Runs work on the primary.
            on_replica: Runs work on the replica.
        """
        if time.monotonic() < self._rests_until:
            return on_primary(operation, work)
        try:
            position, identity = on_primary(operation, _position)
        except (UnavailableError, TimedOutError):
            raise
        except DatabaseError:  # the primary is itself a standby, or hides its position from its users
            return on_primary(operation, work)

        def up_to_date(connection: StoreConnection) -> _T:
            _wait(connection, position, identity, operation)
            return work(connection)

        try:
            return on_replica(operation, up_to_date)
        except (DatabaseError, SchemaError) as error:
            seconds = BEHIND_SECONDS if isinstance(error, BehindError) else DOWN_SECONDS
            self._rests_until = time.monotonic() + seconds
            _log.warning("the read replica is left alone for %g s: %s", seconds, error)
        return on_primary(operation, work)


class BehindError(DatabaseError):
    """The standby has not replayed what the primary has written."""


def _position(connection: StoreConnection) -> tuple[str, str]:
    position, identity = connection.select(select_position(), _in_table(connection)).one()
    return position, identity


def _in_table(connection: StoreConnection) -> dict[str, str]:
    dialect = connection.connection.dialect
    return {"table": table_name(SESSIONS.name, dialect, connection.effective_schema)}


def _wait(connection: StoreConnection, position: str, identity: str, operation: str) -> None:
    """Wait until the standby has replayed the log up to a position. Raises BehindError."""
    table = _in_table(connection)
    until = time.monotonic() + WAIT_SECONDS
    pause = 0.0
    with Deadline(WAIT_SECONDS + _ANSWER_SECONDS) as limit:
        limit.start(cutter(connection.connection))
        while True:
            standby, replayed, its_identity = connection.select(
                select_replayed(), {"position": position, "pause": pause, **table}
            ).one()
            if standby and its_identity != identity:
                raise DatabaseError(
                    f"{operation}: the replica's tables are not the primary's; check its URL's database and "
                    "server, and give both engines the same schema_translate_map and search_path"
                )
            if standby and replayed:
                # At a stricter isolation level, the transaction would still see the state before the wait.
                connection.connection.rollback()
                set_tenant(connection.connection, connection.tenant)
                return
            if not standby:
                raise DatabaseError(f"{operation}: the replica is no standby (any more); check its URL")
            if time.monotonic() >= until:
                raise BehindError(f"{operation}: the replica is more than {WAIT_SECONDS:g} s behind")
            pause = min(_MAX_PAUSE_SECONDS, pause * 2 or 0.001)
