"""What a deletion executes, after the sessions are locked."""

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
    """Every entry of one transcript."""
    return delete(Entry).where(*of_transcript())


@cache
def delete_entries() -> Delete:
    """Every entry of sessions of one project, in all their transcripts."""
    return delete(Entry).where(*of_sessions())


@cache
def delete_sessions() -> Delete:
    """The rows of sessions of one project."""
    return delete(SESSIONS).where(*are_sessions())
