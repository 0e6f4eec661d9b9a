"""SQL statements that a deletion executes, after the sessions are locked."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Delete, Select, delete, or_, select

from boocode_sessions._core.statements.parameters import (
    SESSIONS,
    Entry,
    are_sessions,
    is_session,
    of_session,
    of_sessions,
    of_transcript,
)
from boocode_sessions._core.statements.read import ONE


@cache
def delete_transcript() -> Delete:
    """Delete every entry of one transcript."""
    return delete(Entry).where(*of_transcript())


@cache
def select_remaining() -> Select[int]:
    """Select whether a session's row must stay: it has entries, or it is on hold.

    Shape: one row (1,) if so; no row if not.
    """
    entries = select(ONE).where(*of_session()).exists()
    return select(ONE).select_from(SESSIONS).where(*is_session(), or_(SESSIONS.c.held, entries))


@cache
def delete_entries() -> Delete:
    """Delete every entry of sessions of one project, in all their transcripts."""
    return delete(Entry).where(*of_sessions())


@cache
def delete_sessions() -> Delete:
    """Delete the rows of sessions of one project."""
    return delete(SESSIONS).where(*are_sessions())
