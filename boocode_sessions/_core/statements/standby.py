"""SQL statements that show whether a standby has caught up with its primary."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Float, Select, Text, bindparam, cast, false, func, select
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.types import UserDefinedType


class _Position(UserDefinedType[str]):
    """A position in PostgreSQL's write-ahead log."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
        return "pg_lsn"


@cache
def select_position() -> Select[str, str]:
    """Select the end of the primary's log. Everything acknowledged is before it, even if not yet flushed.

    Parameter: that of `_identity`. Shape: one row (position as text, `_identity`).
    """
    return select(cast(func.pg_current_wal_insert_lsn(), Text), _identity())


@cache
def select_replayed() -> Select[bool, bool, str]:
    """Check, after a pause, whether a standby has replayed the primary's log up to a position.

    Parameters: position; pause, in seconds; that of `_identity`.
    Shape: one row (whether it is still a standby, whether it has replayed the log, `_identity`).
    """
    # The server pauses, because the client would block asyncio. OFFSET makes the pause come before the check.
    paused = select(func.pg_sleep(bindparam("pause", type_=Float))).offset(0).subquery("paused")
    replayed = func.pg_last_wal_replay_lsn(type_=_Position())
    reached = replayed >= cast(bindparam("position", type_=Text), _Position)
    return select(
        func.pg_is_in_recovery(type_=Boolean), func.coalesce(reached, false(), type_=Boolean), _identity()
    ).select_from(paused)


def _identity() -> ColumnElement[str]:
    """Identify one table among the tables of all servers. A primary and its standbys share the identity.

    Parameter: `table`, its name with its schema, or a name that the search path resolves.
    """
    system = func.pg_control_system().table_valued("system_identifier").c.system_identifier
    table = cast(cast(func.to_regclass(bindparam("table", type_=Text)), OID), Text)
    return func.concat_ws(":", select(cast(system, Text)).scalar_subquery(), table, type_=Text)
