"""What a deletion executes, after the session is locked."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Delete, delete

from boocode_sessions._core.statements.parameters import (
    SESSIONS,
    Entry,
    is_session,
    of_session,
    of_transcript,
)


@cache
def delete_transcript() -> Delete:
    """Every entry of one transcript."""
    return delete(Entry).where(*of_transcript())


@cache
def delete_entries() -> Delete:
    """Every entry of a session, in all its transcripts."""
    return delete(Entry).where(*of_session())


@cache
def delete_session() -> Delete:
    """The row of one session."""
    return delete(SESSIONS).where(*is_session())
