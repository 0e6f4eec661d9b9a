"""What the contract's methods do over one connection, beside appends.

Never begins or commits: the caller owns the transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from boocode_sessions._core.append.place import Summary, lock_row, recount
from boocode_sessions._core.codec import Opener, decode, decode_summary
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import (
    Session,
    SessionStoreListEntry,
    SessionSummaryEntry,
    Transcript,
)
from boocode_sessions._core.statements import delete as deletions
from boocode_sessions._core.statements import derived
from boocode_sessions._core.statements import read as statements
from boocode_sessions._core.statements import search as searches
from boocode_sessions._core.statements.parameters import (
    in_project,
    in_session,
    in_sessions,
    in_transcript,
)
from boocode_sessions.errors import DamagedEntryError, EncryptionError


def load(connection: StoreConnection, transcript: Transcript) -> list[dict[str, Any]] | None:
    """A transcript's entries, oldest first; None when it has none. Raises DamagedEntryError."""
    entries: list[dict[str, Any]] = []
    statement = statements.select_entries(encrypted=connection.cipher is not None)
    opener = None if connection.cipher is None else Opener(connection.cipher, transcript)
    for in_entry, verbatim, *at in connection.select(statement, in_transcript(transcript)):
        text = in_entry if verbatim is None else verbatim
        entries.append(decode_at(transcript, len(entries), text, opener, at))
    return entries or None


def decode_at(
    transcript: Transcript,
    place: int,
    text: str | bytes | None,
    opener: Opener | None = None,
    stored_at: Sequence[Any] = (),
) -> dict[str, Any]:
    """The entry that stands at a place of a transcript.

    `stored_at`: with an opener its position and dedup_key, which an encrypted text is bound to.
    Raises DamagedEntryError and EncryptionError, which name it.
    """
    try:
        if opener is not None:
            position, dedup_key = stored_at
            text = opener(position, dedup_key, cast("str", text or ""))
        return cast("dict[str, Any]", decode(text or ""))
    except (DamagedEntryError, EncryptionError) as error:
        failure = type(error)(f"load {transcript}, entry {place}: {error}")
    raise failure


def list_sessions(connection: StoreConnection, project_key: str) -> list[SessionStoreListEntry]:
    """The main transcripts of a project."""
    rows = connection.select(statements.select_sessions(), in_project(project_key))
    return [{"session_id": session_id, "mtime": mtime} for session_id, mtime in rows]


def list_session_summaries(connection: StoreConnection, project_key: str) -> list[SessionSummaryEntry]:
    """The summaries of a project that hold their whole transcript."""
    rows = connection.select(statements.select_summaries(), in_project(project_key))
    return [
        {"session_id": session_id, "mtime": mtime, "data": data}
        for session_id, mtime, text in rows
        if (data := decode_summary(connection.cipher, Session(project_key, session_id), text)) is not None
    ]


def list_subkeys(connection: StoreConnection, session: Session) -> list[str]:
    """The subpaths of a session."""
    return list(connection.select(statements.select_subkeys(), in_session(session)).scalars().all())


def delete(connection: StoreConnection, transcript: Transcript) -> None:
    """Remove a transcript; with the main one its whole session.

    The session is locked first, in a statement of its own, so that the deletion sees what the writer before
    us has committed. It is locked even where it has no row yet: a first append would come between the
    deletion of its entries and that of its row, and be in no listing.
    """
    session = transcript.session
    next_position, _, _ = lock_row(connection, session)
    if transcript.is_main:
        remove(connection, [session])
        return
    forget_texts(connection, [session])
    connection.write(deletions.delete_transcript(), in_transcript(transcript))
    # One more, so that writers who know the transcript look again.
    recount(connection, session, next_position + 1, Summary.KEEP)


def remove(connection: StoreConnection, sessions: Collection[Session]) -> None:
    """Remove sessions of one project, which the caller has locked."""
    forget_texts(connection, sessions)
    connection.write(deletions.delete_entries(), in_sessions(sessions))
    connection.write(deletions.delete_sessions(), in_sessions(sessions))


def forget_texts(connection: StoreConnection, sessions: Collection[Session]) -> None:
    """Remove what search finds in sessions of one project.

    What was said is gone when the deletion is; what else was derived from it says nothing of the content.
    Who may not write finds what is left of a session in its entries.
    """
    # First, for it waits until nobody takes words from them: those would be stored after the deletion.
    connection.write(derived.search_anew(), in_sessions(sessions))
    if connection.dialect == "sqlite":
        connection.write(searches.forget_words(of_sessions=True), in_sessions(sessions))
    connection.write(searches.delete_texts(), in_sessions(sessions))
