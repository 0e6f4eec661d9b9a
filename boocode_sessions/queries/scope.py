"""Which lines a question is about: most by their stored facts, a few by their entries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from boocode_sessions._core.sql.entry_json import json_string
from boocode_sessions._core.sql.facts import fact, has_facts, time_text
from boocode_sessions.models import ClaudeSessionEntry as Entry

MARGIN = timedelta(days=1)
"""How far beyond a stretch of time lines are read: for the rest of an answer that began in it, and for the
results of its tools."""


def moment(name: str, at: datetime | None) -> None:
    """Raises ValueError unless `at` is None or aware."""
    if at is not None and at.tzinfo is None:
        raise ValueError(f"{name} has no time zone: give datetime.now(UTC) or the like")


class Scope:
    """The lines that a question may need: of a project or a session, and a day more than the stretch of time.

    Served by: claude_session_entries_facts_idx, or for a project or a session
    claude_session_entries_transcript_idx; and claude_session_entries_unread_idx.
    """

    def __init__(
        self,
        project_key: str | None,
        session_id: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        self._key = list(of_key(project_key, session_id))
        self._since = None if since is None else since - MARGIN
        self._until = None if until is None else until + MARGIN

    def by_facts(self, name: str) -> Iterator[ColumnElement[bool]]:
        """Lines that have a fact of this name."""
        yield from self._key
        yield has_facts(Entry.facts.expression)
        yield fact(Entry.facts.expression, name).is_not(None)
        yield from said_within(fact(Entry.facts.expression, "at"), self._since, self._until)

    def by_entry(self, line_type: str) -> Iterator[ColumnElement[bool]]:
        """Lines of a type that have no facts, but for a fork's copies."""
        yield from self._key
        yield Entry.facts.is_(None)
        yield Entry.type == literal_column(f"'{line_type}'")
        yield from said_within(at_of_entry(), self._since, self._until)
        yield _not_copied()


def of_key(project_key: str | None, session_id: str | None) -> Iterator[ColumnElement[bool]]:
    """Whether an entry is of a project, and of a session, where one was asked for."""
    if project_key is not None:
        yield Entry.project_key == project_key
    if session_id is not None:
        yield Entry.session_id == session_id


def at_of_entry() -> ColumnElement[str]:
    """As the fact `at`, of a line that has no facts."""
    return func.coalesce(time_text(Entry.timestamp), time_text(Entry.created_at))


def said_within(
    at: ColumnElement[str], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Whether a time in the form of the fact `at` is in a stretch of time."""
    if since is not None:
        yield at >= _text(since)
    if until is not None:
        yield at < _text(until)


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def _not_copied() -> ColumnElement[bool]:
    """Whether a line is not a fork's copy of one that is here too. A copy's timestamp may be the fork's."""
    original = aliased(Entry)
    session_id = json_string(Entry.entry.expression, "forkedFrom", "sessionId")
    uuid = json_string(Entry.entry.expression, "forkedFrom", "messageUuid")
    here = (
        original.project_key == Entry.project_key,
        original.session_id == session_id,
        original.subpath == Entry.subpath,
    )
    # Not EXISTS, which PostgreSQL might turn into a hash of the whole table.
    claimed = select(func.min(original.id)).where(*here, original.dedup_key == uuid)
    unclaimed = select(func.min(original.id)).where(
        *here, original.dedup_key.is_(None), original.uuid == uuid
    )
    return or_(
        session_id.is_(None),
        and_(*(one.correlate(Entry).scalar_subquery().is_(None) for one in (claimed, unclaimed))),
    )
