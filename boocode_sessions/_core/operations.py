"""The contract's methods over one connection, except append.

They never begin or commit a transaction: that is up to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from boocode_sessions._core.append.place import Summary, lock_row, recount
from boocode_sessions._core.codec import Opener, decode, decode_summary
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Session, SessionStoreListEntry, SessionSummaryEntry, Transcript
from boocode_sessions._core.statements import delete as deletions
from boocode_sessions._core.statements import derived
from boocode_sessions._core.statements import read as statements
from boocode_sessions._core.statements import search as searches
from boocode_sessions._core.statements.parameters import in_project, in_session, in_sessions, in_transcript
from boocode_sessions.errors import DamagedEntryError, EncryptionError


def load(connection: StoreConnection, transcript: Transcript) -> list[dict[str, Any]] | None:
    """Return a transcript's entries, oldest first; None if it has none.

    Raises DamagedEntryError, EncryptionError.
    """
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
    """Decode the entry at a place of a transcript.

    With an `opener`, `stored_at` has the entry's position and dedup_key, to which an encrypted text is bound.
    Raises DamagedEntryError and EncryptionError, which name the transcript and the place.
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
    """Return the main transcripts of a project."""
    rows = connection.select(statements.select_sessions(), in_project(project_key))
    return [{"session_id": session_id, "mtime": mtime} for session_id, mtime in rows]


def list_session_summaries(connection: StoreConnection, project_key: str) -> list[SessionSummaryEntry]:
    """Return the summaries of a project that cover their whole transcript."""
    rows = connection.select(statements.select_summaries(), in_project(project_key))
    return [
        {"session_id": session_id, "mtime": mtime, "data": data}
        for session_id, mtime, text in rows
        if (data := decode_summary(connection.cipher, Session(project_key, session_id), text)) is not None
    ]


def list_subkeys(connection: StoreConnection, session: Session) -> list[str]:
    """Return the subpaths of a session."""
    return list(connection.select(statements.select_subkeys(), in_session(session)).scalars().all())


def delete(connection: StoreConnection, transcript: Transcript) -> None:
    """Delete a transcript, or with the main one its whole session.

    A session without entries keeps no row, unless it is on hold.

    The session is locked first, in a statement of its own, so that the deletion sees what the previous writer
    has committed. It is locked even if it has no row yet. Otherwise a first append could come between the
    deletion of the entries and that of the row, and no listing would have it.
    """
    session = transcript.session
    next_position, _, _ = lock_row(connection, session)
    if transcript.is_main:
        remove(connection, [session])
        return
    delete_search_data(connection, [session])
    connection.write(deletions.delete_transcript(), in_transcript(transcript))
    if connection.select(deletions.select_remaining(), in_session(session)).first() is None:
        # Only the session's own rows: another program may be inserting entries, which it needs no lock for.
        _remove_row(connection, [session])
        return
    # One more, so that writers who know the transcript read it again.
    recount(connection, session, next_position + 1, Summary.KEEP)


def remove(connection: StoreConnection, sessions: Collection[Session]) -> None:
    """Delete sessions of one project. The caller has locked them."""
    delete_search_data(connection, sessions)
    connection.write(deletions.delete_entries(), in_sessions(sessions))
    _remove_row(connection, sessions)


def _remove_row(connection: StoreConnection, sessions: Collection[Session]) -> None:
    connection.write(deletions.delete_sessions(), in_sessions(sessions))
    connection.write(derived.delete_unused_digests(), in_sessions(sessions))


def delete_search_data(connection: StoreConnection, sessions: Collection[Session]) -> None:
    """Delete what search finds in sessions of one project.

    The words of deleted entries have to disappear with them. Other derived data doesn't reveal what was said.
    A user who may not write then searches the session's remaining entries themselves.
    """
    # This comes first, because it waits for others to stop taking words from these sessions. Such words would
    # be stored after the deletion.
    connection.write(derived.reset_search(connection.dialect), [in_session(session) for session in sessions])
    if connection.dialect == "sqlite":
        connection.write(searches.delete_words(of_sessions=True), in_sessions(sessions))
    connection.write(searches.delete_texts(), in_sessions(sessions))
