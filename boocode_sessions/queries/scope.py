"""Selects the lines that a query is about: project, session and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, literal_column, or_, select, union_all
from sqlalchemy.orm import aliased

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.records import micros
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.keys import check_parts
from boocode_sessions._core.sql.json_values import json_label, json_string
from boocode_sessions._core.sql.times import json_time
from boocode_sessions._core.statements.derived import QUARTER, Within
from boocode_sessions._core.statements.derived_reads import DerivedQuery
from boocode_sessions._core.statements.parameters import literal_unplaced, unplaced
from boocode_sessions.models import ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry

_NEVER = 2**63 - 1
MARGIN = timedelta(days=1)
"""How far beyond a time range lines are read: an answer that began in it may go on, and its tools' results
come later."""


class Scope(NamedTuple):
    """A project, a session and a time range. Each is None if the query asks for all."""

    project_key: str | None
    session_id: str | None
    since: datetime | None
    until: datetime | None

    @classmethod
    def of(
        cls,
        project_key: str | None,
        session_id: str | None,
        since: date | None,
        until: date | None,
        tz: tzinfo,
    ) -> Self:
        """Check a query's parameters. Raises InvalidKeyError, and ValueError for a time without a zone."""
        check_parts(project_key=project_key, session_id=session_id)
        return cls(project_key, session_id, moment("since", since, tz), moment("until", until, tz))

    @property
    def bounded(self) -> bool:
        """True if the time range has a beginning or an end."""
        return self.since is not None or self.until is not None

    @property
    def widened(self) -> Scope:
        """The same scope with MARGIN around its time range."""
        since = None if self.since is None else self.since - MARGIN
        until = None if self.until is None else self.until + MARGIN
        return self._replace(since=since, until=until)

    @property
    def named(self) -> dict[str, str]:
        """The statement parameters for the project and the session."""
        given = {"in_project": self.project_key, "in_session": self.session_id}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def parameters(self) -> dict[str, Any]:
        """All statement parameters, with times in the form of the derived tables."""
        given = {"since": self.since, "until": self.until}
        times = {name: micros(at.astimezone(UTC)) for name, at in given.items() if at is not None}
        quarters = {f"{name}_quarter": at // QUARTER for name, at in times.items()}
        return {**self.named, **times, **quarters}

    def derived_query(self, connection: StoreConnection, *, open_sessions: bool = False) -> DerivedQuery:
        """Return what a statement over the derived tables depends on."""
        within, distributed = Within.named(self.named), is_distributed(connection.connection)
        return DerivedQuery(
            within, self.since is not None, self.until is not None, open_sessions, distributed
        )

    def time_test(self) -> Callable[[int], bool]:
        """Return a function that is True for times, in the form of the derived tables, in the time range."""
        since = self.parameters.get("since", 0)
        until = self.parameters.get("until", _NEVER)
        return lambda at: since <= at < until

    def key(self) -> Iterator[ColumnElement[bool]]:
        """Conditions: an entry of the project and of the session."""
        if self.project_key is not None:
            yield Entry.project_key == self.project_key
        if self.session_id is None:
            return
        if self.project_key is None:
            # Without its project, no index finds a session's entries.
            row, other = aliased(ClaudeSession), aliased(Entry)
            projects = union_all(
                select(row.project_key).where(row.session_id == self.session_id),
                select(other.project_key).where(
                    other.session_id == self.session_id, other.position == literal_unplaced()
                ),
            )
            yield Entry.project_key.in_(projects)
        yield Entry.session_id == self.session_id

    def in_time_range(self, at: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """Conditions: a time is in the time range."""
        if self.since is not None:
            yield at >= self.since
        if self.until is not None:
            yield at < self.until


def moment(name: str, at: date | None, tz: tzinfo) -> datetime | None:
    """Return a bound as a time. A date begins in `tz`. Raises ValueError for a time without a zone."""
    if at is None:
        return None
    if not isinstance(at, datetime):
        return datetime.combine(at, time.min, tz)
    if at.tzinfo is None:
        raise ValueError(f"{name} has no time zone: give datetime.now(UTC) or the like, or a date")
    return at


def has_unplaced(connection: StoreConnection, scope: Scope) -> bool:
    """True if there are rows of other programs that nobody has placed.

    Served by: claude_session_entries_unplaced_idx, which holds only those rows.
    """
    # In this index's order, with a column that no other index has: else SQLite would scan a larger index.
    order = (Entry.project_key, Entry.session_id, Entry.subpath, Entry.created_at)
    one = select(Entry.created_at).where(unplaced(), *scope.key()).order_by(*order).limit(1)
    return connection.select(one).first() is not None


def unplaced_said_at() -> ColumnElement[Any]:
    """Return `said_at` of a row without plain columns."""
    return json_time(Entry.entry.expression, "timestamp")


def unplaced_type() -> ColumnElement[str]:
    """Return `type` of a row without plain columns."""
    return json_string(Entry.entry.expression, "type")


def unplaced_forked_from() -> ColumnElement[str]:
    """Return `forked_from` of a row without plain columns."""
    return json_label(Entry.entry.expression, "forkedFrom", "sessionId")


def not_copied(forked_from: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a column or an expression
    """Condition: the line is no fork's copy from a session that is still stored.

    A fork gives the last line that it copies its own time. The sessions are read once, and only if there is
    a copy.
    """
    row, other = aliased(ClaudeSession), aliased(Entry)
    there = union_all(
        select(row.session_id).where(row.entries > literal_column("0")),
        # With a column that only the index of these rows has: else SQLite would scan a larger index.
        select(other.session_id).where(other.position == literal_unplaced(), other.created_at.is_not(None)),
    )
    return or_(forked_from.is_(None), forked_from.not_in(there))
