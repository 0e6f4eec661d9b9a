"""Encrypts an existing store with the newest key: plain rows, and rows encrypted with older keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import func, select

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.codec import (
    LINE_KEY_LENGTH,
    SessionCipher,
    StoredAt,
    decode,
    encode_stored,
    encode_summary,
    fingerprint,
    line_key,
    open_entry,
    seal_entry,
    seal_summary,
)
from boocode_sessions._core.codec import decode_summary as open_summary
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import lock
from boocode_sessions._core.greenlets import pause as wait
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.operations import delete_search_data
from boocode_sessions._core.statements import search as searches
from boocode_sessions._core.statements.parameters import Entry, in_parts, in_session, unplaced
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import SEALED
from boocode_sessions.privacy import statements
from boocode_sessions.privacy.encryption import Encryption

BATCH_ROWS = 200
"""How many entries one transaction rewrites."""
_LOOKED_AT = 5000
"""How many entries one statement checks for their key."""


class Reencrypted(NamedTuple):
    """The result of `reencrypt`."""

    entries: int
    """The number of entries that were plain, or encrypted with another key."""
    summaries: int
    unplaced: int
    """The number of unplaced rows of other programs, which stay as they are. `backfill` places them."""


@checked
def reencrypt(
    bind: Bind,
    encryption: Encryption,
    *,
    schema: str | None = None,
    batch_rows: int = BATCH_ROWS,
    pause: float = 0.0,
    progress: Callable[[int], object] = lambda _: None,
) -> Reencrypted:
    """Encrypt with the newest key every entry and summary that is not encrypted with it yet.

    Writers can keep working if their stores know both the new key and the old ones. If the store was plain,
    the writers and `encryption` need `reads_plain=True`. If the call is interrupted, run it again: it skips
    what is done. The old texts stay in the database's files until these are vacuumed: docs/encryption.md.

    Args:
        bind: An Engine or a sessionmaker: each batch is its own transaction.
        encryption: The new key first, then the keys that it replaces.
        schema: The schema of the tables, if they are not on the connection's search path.
        batch_rows: How many entries one transaction rewrites.
        pause: Seconds to wait after each batch.
        progress: Called after each batch with the number of entries done so far.

    Raises:
        EncryptionError: A key is missing, or a row is plain without `reads_plain`.
        DamagedEntryError: An entry was changed or moved. The batches before it are done.
    """
    check_at_least(1, batch_rows=batch_rows)
    check_at_least(0, pause=pause)
    unit_of_work = UnitOfWork(bind, schema, encryption)
    done = 0
    after = 0
    while True:
        todo, after = unit_of_work.read(
            "look for entries to encrypt", partial(_entries_to_do, encryption, after)
        )
        for some in in_parts(todo, batch_rows):
            done += unit_of_work.write("encrypt entries", partial(_encrypt, some), bounded=False)
            progress(done)
            if unit_of_work.own:
                wait(pause)
        if not after:
            break
    summaries = _encrypt_summaries(unit_of_work, encryption)
    while unit_of_work.write("forget the words of what is encrypted", _delete_words):
        pass
    left = select(func.count()).select_from(Entry).where(unplaced())
    return Reencrypted(
        done,
        summaries,
        unit_of_work.read("count the rows to place", lambda connection: connection.select(left).scalar_one()),
    )


def _entries_to_do(
    encryption: Encryption, after: int, connection: StoreConnection
) -> tuple[list[tuple[str, int]], int]:
    """Return what to encrypt among the next entries, and the last id checked, or 0 at the end.

    An entry is named by its project key and id.
    """
    rows = connection.select(statements.select_headers(), {"after": after, "most": _LOOKED_AT}).all()
    todo = [
        (project, row_id)
        for row_id, project, session, header in rows
        if not _is_current(encryption.of(Session(project, session)), header)
    ]
    return todo, rows[-1][0] if len(rows) == _LOOKED_AT else 0


def _is_current(cipher: SessionCipher, header: str | None) -> bool:
    return header is not None and header.startswith(f"{SEALED}{cipher.key_id}:")


def _encrypt(todo: Sequence[tuple[str, int]], connection: StoreConnection) -> int:
    ids: dict[str, list[int]] = {}
    for project, row_id in sorted(todo):  # so that two calls at once lock in one order
        ids.setdefault(project, []).append(row_id)
    return sum(_encrypt_in_project(project, its_ids, connection) for project, its_ids in ids.items())


def _encrypt_in_project(project_key: str, ids: Sequence[int], connection: StoreConnection) -> int:
    cipher = connection.cipher
    assert cipher is not None  # noqa: S101 - `reencrypt` gives one
    changed: list[dict[str, Any]] = []
    for row_id, project, session, subpath, position, key, stored in connection.select(
        statements.select_stored(), {"in_project": project_key, "ids": ids}
    ):
        transcript = Transcript(project, session, subpath)
        of_session = cipher.of(transcript.session)
        text = open_entry(cipher, StoredAt(transcript, position, key or b""), stored)
        new_key = key or b""
        if len(new_key) == LINE_KEY_LENGTH:  # derived from the content and a key: docs/encryption.md
            content = of_session.fingerprints(fingerprint(decode(text)))[0]
            new_key = line_key(content, int.from_bytes(new_key[-4:]))
        item = encode_stored(text.decode())
        sealed = seal_entry(of_session, StoredAt(transcript, position, new_key), item)
        changed.append(
            {
                "in_project": project,
                "row_id": row_id,
                "new_key": new_key if key else None,
                "new_entry": sealed.json.decode(),
                "new_verbatim": None if sealed.verbatim is None else sealed.verbatim.decode(),
            }
        )
    if changed:
        connection.write(statements.update_stored(), changed)
    return len(changed)


def _encrypt_summaries(unit_of_work: UnitOfWork, encryption: Encryption) -> int:
    last = Session("", "")
    done = 0
    while True:
        parameters = {**in_session(last), "most": BATCH_ROWS}
        rows = unit_of_work.read("look for summaries to encrypt", partial(_next_summaries, parameters))
        todo = [
            (session, stored)
            for project, session_id, stored in rows
            if stored is not None
            and not _is_current(encryption.of(session := Session(project, session_id)), stored)
        ]
        if todo:
            done += unit_of_work.write("encrypt summaries", partial(_write_summaries, todo))
        if len(rows) < BATCH_ROWS:
            return done
        last = Session(rows[-1][0], rows[-1][1])


def _next_summaries(
    parameters: Mapping[str, Any], connection: StoreConnection
) -> Sequence[tuple[str, str, str | None]]:
    rows = connection.select(statements.select_summaries(), parameters)
    return [(project, session, data) for project, session, data in rows]


def _write_summaries(todo: Sequence[tuple[Session, str]], connection: StoreConnection) -> int:
    """Encrypt summaries. One that changed meanwhile is left alone: its writer has encrypted it."""
    changed: list[dict[str, Any]] = []
    for session, stored in todo:
        data = open_summary(connection.cipher, session, stored)
        new = None if data is None else seal_summary(connection.cipher, session, encode_summary(data))
        changed.append({**in_session(session), "stored": stored, "new_data": new})
    connection.write(statements.update_summary(), changed)
    return len(changed)


def _delete_words(connection: StoreConnection) -> bool:
    """Remove some sessions from the search index, which holds plain text. True if some may be left."""
    lock(connection)
    sessions = connection.select(statements.select_searched(), {"most": BATCH_ROWS}).all()
    for project, session_id in sessions:
        session = Session(project, session_id)
        # If another tenant's session is not encrypted, the next search indexes it again.
        delete_search_data(connection, [session])
    if sessions and connection.dialect == "sqlite":
        connection.write(searches.merge_words(), {})
    return len(sessions) == BATCH_ROWS
