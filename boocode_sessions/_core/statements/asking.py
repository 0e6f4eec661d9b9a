"""What the derived tables are asked with."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    Table,
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
from boocode_sessions._core.statements.derived import CALLS, DIGESTS, NO, USES, YES, Within
from boocode_sessions._core.statements.parameters import PROJECT, Entry, table_name, unplaced
from boocode_sessions.models import SessionCall, SessionDigest, SessionText, SessionToolUse

TEXTS = cast("Table", SessionText.__table__)


class Asked(NamedTuple):
    """A question to a derived table, without its times."""

    within: Within
    since: bool
    until: bool
    open_sessions: bool
    """Whether there are sessions whose calls are read one by one. Parameters: `open` and `dead`, ids of
    digests as JSON arrays; those of `dead` are not read at all."""
    distributed: bool = False
    """Whether the database is: it is then told the project of each row, which on one server would be read for
    nothing, since the digests tell it."""

    def quarters(self) -> list[ColumnElement[bool]]:
        """The same by the quarters of an hour, as an index has calls. Parameters: `since_quarter`,
        `until_quarter`."""
        quarter = SessionCall.quarter
        conditions: list[ColumnElement[bool]] = []
        if self.since:
            conditions.append(quarter >= bindparam("since_quarter", type_=Integer))
        if self.until:
            conditions.append(quarter <= bindparam("until_quarter", type_=Integer))
        return conditions

    def times(self, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Conditions: a time is the question's. Parameters: `since` and `until`, in microseconds."""
        conditions: list[ColumnElement[bool]] = []
        if self.since:
            conditions.append(at >= bindparam("since", type_=BigInteger))
        if self.until:
            conditions.append(at < bindparam("until", type_=BigInteger))
        return conditions


def of_digest(row: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a model or a subquery's columns
    """Condition: the digest of a call or use."""
    return and_(SessionDigest.project_key == row.project_key, SessionDigest.id == row.digest_id)


def is_summed(model: Any, asked: Asked) -> list[Any]:  # noqa: ANN401 - SessionCall or SessionToolUse
    """Conditions: what is summed up in the database."""
    conditions: list[Any] = [model.shared == NO, *_within(model, asked)]
    if asked.open_sessions:
        conditions.append(~in_json_list(model.digest_id, bindparam("open", type_=Text)))
    return conditions


def is_single(model: Any, asked: Asked) -> list[Any]:  # noqa: ANN401 - as above
    """Conditions: what is read row by row. Copies of sessions that are there do not count."""
    single = model.shared == YES
    conditions: list[Any] = [*_within(model, asked)]
    if asked.open_sessions:
        single = or_(single, in_json_list(model.digest_id, bindparam("open", type_=Text)))
        conditions.append(~in_json_list(model.digest_id, bindparam("dead", type_=Text)))
    return [
        single,
        or_(model.copied_from == literal_column("''"), model.copied_from.not_in(select_sessions_there())),
        *conditions,
    ]


def _within(model: Any, asked: Asked) -> list[Any]:  # noqa: ANN401 - as above
    if not any(asked.within):
        return []
    conditions = [model.digest_id.in_(asked.within.narrow(select(SessionDigest.id), SessionDigest))]
    if asked.distributed and asked.within.project:
        conditions.append(model.project_key == PROJECT)
    return conditions


def select_sessions_there() -> Any:  # noqa: ANN401 - a compound select
    """The ids of all sessions that have entries. Served by: claude_session_entries_first_idx and
    claude_session_entries_unplaced_idx."""
    first, other = aliased(Entry), aliased(Entry)
    # With a column that only the index of these rows has: SQLite would go through a larger one.
    of_others = select(other.session_id).where(unplaced(other), other.created_at.is_not(None))
    return select(first.session_id).where(first.is_first.is_not(None)).union_all(of_others)


@cache
def select_there() -> Select[str]:
    """Which of `sessions` are there. Shape: (session_id,) per session."""
    there = select_sessions_there().subquery("there")
    wanted = bindparam("sessions", expanding=True, type_=Text)
    return select(there.c.session_id).where(there.c.session_id.in_(wanted))


@cache
def select_meeting(model: type[SessionCall | SessionToolUse]) -> Select[int]:
    """The digests that sum up one of `calls`. Shape: (digest_id,) per digest."""
    calls = bindparam("calls", expanding=True, type_=LargeBinary)
    return select(model.digest_id).where(model.call.in_(calls), model.shared == NO).distinct()


# Where the tables may not be read


def select_readable(dialect: Dialect, schema: str | None) -> Select[bool]:
    """Whether the user may read the derived tables. PostgreSQL only: SQLite has no rights.

    Shape: one row (whether,).
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
    """The sessions with placed entries, by the entries alone. Shape: (project_key, session_id) per session.

    Served by: claude_session_entries_first_idx.
    """
    sessions = select(Entry.project_key, Entry.session_id).where(Entry.is_first.is_not(None))
    return within.narrow(sessions, Entry).distinct()
