"""SQL conditions and statements that read the derived tables."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from boocode_sessions._core.sql.functions import in_json_list
from boocode_sessions._core.statements.derived import CALLS, DIGESTS, NO, TEXTS, USES, YES, Within
from boocode_sessions._core.statements.parameters import PROJECT, Entry, table_name, unplaced
from boocode_sessions.models import SessionCall, SessionDigest, SessionToolUse


class DerivedQuery(NamedTuple):
    """A query of a derived table, without its times."""

    within: Within
    since: bool
    until: bool
    open_sessions: bool
    """True if some sessions' calls are read one by one. Parameters: `open` and `dead`, ids of digests as JSON
    arrays; those of `dead` are not read at all."""
    distributed: bool = False
    """True for a distributed database, where the query has to name each row's project. A single server would
    read that column in vain, because the digests imply it."""

    def quarters(self) -> list[ColumnElement[bool]]:
        """Conditions: the quarter of an hour, which an index has, may be within the query's times.

        Parameters: `since_quarter`, `until_quarter`.
        """
        quarter = SessionCall.quarter
        conditions: list[ColumnElement[bool]] = []
        if self.since:
            conditions.append(quarter >= bindparam("since_quarter", type_=Integer))
        if self.until:
            conditions.append(quarter <= bindparam("until_quarter", type_=Integer))
        return conditions

    def times(self, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Conditions: the query's times include `at`. Parameters: `since` and `until`, in microseconds."""
        conditions: list[ColumnElement[bool]] = []
        if self.since:
            conditions.append(at >= bindparam("since", type_=BigInteger))
        if self.until:
            conditions.append(at < bindparam("until", type_=BigInteger))
        return conditions


def of_digest(row: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a model or a subquery's columns
    """Condition: the digest of a call or tool use."""
    return and_(SessionDigest.project_key == row.project_key, SessionDigest.id == row.digest_id)


def is_summed(model: Any, query: DerivedQuery) -> list[Any]:  # noqa: ANN401 - SessionCall or SessionToolUse
    """Conditions: the rows that the database sums up."""
    conditions: list[Any] = [model.shared == NO, *_within(model, query)]
    if query.open_sessions:
        conditions.append(~in_json_list(model.digest_id, bindparam("open", type_=Text)))
    return conditions


def is_single(model: Any, query: DerivedQuery) -> list[Any]:  # noqa: ANN401 - as above
    """Conditions: the rows that are read one by one. Copies from sessions that still exist don't count."""
    single = model.shared == YES
    conditions: list[Any] = [*_within(model, query)]
    if query.open_sessions:
        single = or_(single, in_json_list(model.digest_id, bindparam("open", type_=Text)))
        conditions.append(~in_json_list(model.digest_id, bindparam("dead", type_=Text)))
    return [
        single,
        or_(model.copied_from == literal_column("''"), model.copied_from.not_in(select_stored_sessions())),
        *conditions,
    ]


def _within(model: Any, query: DerivedQuery) -> list[Any]:  # noqa: ANN401 - as above
    if not any(query.within):
        return []
    conditions = [model.digest_id.in_(query.within.narrow(select(SessionDigest.id), SessionDigest))]
    if query.distributed and query.within.project:
        conditions.append(model.project_key == PROJECT)
    return conditions


def select_stored_sessions() -> Any:  # noqa: ANN401 - a compound select
    """Select the ids of all sessions that have entries.

    Served by: claude_session_entries_first_idx and claude_session_entries_unplaced_idx.
    """
    first, other = aliased(Entry), aliased(Entry)
    # Only the index of these rows has created_at. Without it, SQLite would scan a larger index.
    of_others = select(other.session_id).where(unplaced(other), other.created_at.is_not(None))
    return select(first.session_id).where(first.is_first.is_not(None)).union_all(of_others)


@cache
def select_existing() -> Select[str]:
    """Select those of `sessions` that have entries. Shape: (session_id,) per session."""
    there = select_stored_sessions().subquery("there")
    wanted = bindparam("sessions", expanding=True, type_=Text)
    return select(there.c.session_id).where(there.c.session_id.in_(wanted))


@cache
def select_digests_of(model: type[SessionCall | SessionToolUse]) -> Select[int]:
    """Select the digests that sum up one of `calls`. Shape: (digest_id,) per digest."""
    calls = bindparam("calls", expanding=True, type_=LargeBinary)
    return select(model.digest_id).where(model.call.in_(calls), model.shared == NO).distinct()


# For users who may not read the derived tables


def select_readable(dialect: Dialect, schema: str | None) -> Select[bool]:
    """Check whether the user may read the derived tables. PostgreSQL only: SQLite has no permissions.

    Shape: one row (bool,).
    """
    rights = [
        func.has_table_privilege(
            func.to_regclass(table_name(table.name, dialect, schema)), "SELECT", type_=Boolean
        )
        for table in (DIGESTS, CALLS, USES, TEXTS)
    ]
    return select(func.coalesce(and_(*rights), true()))


@cache
def select_placed_sessions(within: Within) -> Select[str, str]:
    """Select the sessions with placed entries, from the entries alone. Shape: (project_key, session_id) each.

    Served by: claude_session_entries_first_idx.
    """
    sessions = select(Entry.project_key, Entry.session_id).where(Entry.is_first.is_not(None))
    return within.narrow(sessions, Entry).distinct()
