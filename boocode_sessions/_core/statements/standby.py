"""What is asked of a primary and of its standby, so that a read from the standby is not out of date."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Float, Select, Text, bindparam, cast, false, func, select
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.types import UserDefinedType


class _Position(UserDefinedType[str]):
    """A position in PostgreSQL's log."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
        return "pg_lsn"


@cache
def select_position() -> Select[str, str]:
    """Where the primary's log stands: all that was acknowledged is before it, also what is not flushed.

    Parameter: that of `_identity`. Shape: one row (position as text, `_identity`).
    """
    return select(cast(func.pg_current_wal_insert_lsn(), Text), _identity())


@cache
def select_replayed() -> Select[bool, bool, str]:
    """Whether a standby has replayed the primary's log up to a position, after a pause.

    Parameters: position; pause, in seconds; that of `_identity`.
    Shape: one row (whether it is a standby still, whether it has, `_identity`).
    """
    # On the server, since a pause on the client would hold up asyncio; OFFSET has it come before the look.
    paused = select(func.pg_sleep(bindparam("pause", type_=Float))).offset(0).subquery("paused")
    replayed = func.pg_last_wal_replay_lsn(type_=_Position())
    reached = replayed >= cast(bindparam("position", type_=Text), _Position)
    return select(
        func.pg_is_in_recovery(type_=Boolean), func.coalesce(reached, false(), type_=Boolean), _identity()
    ).select_from(paused)


def _identity() -> ColumnElement[str]:
    """Tells one table from all others, of other servers too. A primary and its standbys have the same.

    Parameter: table, its name with its schema, or as the search path leads to it.
    """
    system = func.pg_control_system().table_valued("system_identifier").c.system_identifier
    table = cast(cast(func.to_regclass(bindparam("table", type_=Text)), OID), Text)
    return func.concat_ws(":", select(cast(system, Text)).scalar_subquery(), table, type_=Text)
