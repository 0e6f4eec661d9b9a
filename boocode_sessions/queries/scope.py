"""Which lines a question is about."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from boocode_sessions.columns import json_member, json_string
from boocode_sessions.models import ClaudeSessionEntry as Entry

MARGIN = timedelta(days=1)
"""How far beyond a stretch of time lines are read: for the rest of an answer that began in it, the results
of its tools, and timestamps in another zone than UTC, which are compared as text."""


def moment(name: str, at: datetime | None) -> None:
    """Raises ValueError unless `at` is None or aware."""
    if at is not None and at.tzinfo is None:
        raise ValueError(f"{name} has no time zone: give datetime.now(UTC) or the like")


def said_at() -> ColumnElement[datetime]:
    """When the agent wrote a line; where the line does not say, when it was stored."""
    return func.coalesce(Entry.timestamp, Entry.created_at, type_=Entry.created_at.type)


def lines(
    kind: str,
    project_key: str | None,
    session_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[ColumnElement[bool]]:
    """The lines of a type that a question may need: a day more than asked for, at both ends.

    Served by: claude_session_entries_messages_idx for a stretch of time,
    claude_session_entries_transcript_idx for a project or a session.
    """
    if session_id is None and (since is not None or until is not None):
        # A literal: with a parameter a prepared statement could not use a partial index.
        yield json_member(Entry.entry.expression, "type") == literal_column(f"'{kind}'")
    else:
        # In other words, or PostgreSQL would look all messages up in that index.
        yield Entry.type == kind
    if project_key is not None:
        yield Entry.project_key == project_key
    if session_id is not None:
        yield Entry.session_id == session_id
    at = func.substr(
        json_member(Entry.entry.expression, "timestamp"), literal_column("1"), literal_column("64")
    )
    span: list[ColumnElement[bool]] = []
    if since is not None:
        span.append(at >= _text(since - MARGIN))
    if until is not None:
        span.append(at < _text(until + MARGIN))
    if span:
        yield or_(and_(*span), at.is_(None))


def not_copied() -> ColumnElement[bool]:
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


def within(
    at: ColumnElement[datetime], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Exactly the stretch of time that was asked for."""
    if since is not None:
        yield at >= since
    if until is not None:
        yield at < until


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
