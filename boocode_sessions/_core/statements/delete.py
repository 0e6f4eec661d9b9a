"""SQL statements that a deletion executes, after the sessions are locked."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Delete, delete

from boocode_sessions._core.statements.parameters import (
    SESSIONS,
    Entry,
    are_sessions,
    of_sessions,
    of_transcript,
)


@cache
def delete_transcript() -> Delete:
    """Delete every entry of one transcript."""
    return delete(Entry).where(*of_transcript())


@cache
def delete_entries() -> Delete:
    """Delete every entry of sessions of one project, in all their transcripts."""
    return delete(Entry).where(*of_sessions())


@cache
def delete_sessions() -> Delete:
    """Delete the rows of sessions of one project."""
    return delete(SESSIONS).where(*are_sessions())
