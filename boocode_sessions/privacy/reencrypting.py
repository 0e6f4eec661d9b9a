"""Encrypting what a store holds under the newest key: plain rows, and those of older keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import func, select

from boocode_sessions._core.arguments import at_least, checked
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
from boocode_sessions._core.operations import forget_texts
from boocode_sessions._core.statements import search as searches
from boocode_sessions._core.statements.parameters import Entry, in_parts, in_session, unplaced
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import SEALED
from boocode_sessions.privacy import statements
from boocode_sessions.privacy.encryption import Encryption

BATCH_ROWS = 200
"""Entries that one transaction rewrites."""
_LOOKED_AT = 5000
"""Entries of which one statement asks how they are encrypted."""


class Reencrypted(NamedTuple):
    """What `reencrypt` did."""

    entries: int
    """That were plain, or encrypted with another key."""
    summaries: int
    unplaced: int
    """Rows of other programs that nobody has placed, and that stay as they are: `backfill` places them."""


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
    """Encrypt under the newest key whatever is not.

    Works beside live writers, whose stores know both the new key and the old ones; or, where the store was
    plain, have `reads_plain=True`, as `encryption` then has to. Stopped in between, it is simply run again:
    what is done is looked at and left. What was there before stays in the database's files until it is
    vacuumed: see docs/encryption.md.

    Args:
        bind: An Engine or a sessionmaker: each batch is a transaction of its own.
        encryption: The new key first, then those that are to go.
        schema: Where the tables are, when the connection's search path does not lead there.
        batch_rows: Entries that one transaction rewrites.
        pause: Seconds to wait after each batch.
        progress: Called with the number of entries that are done, after each batch.

    Raises:
        EncryptionError: A key is missing, or a row is plain that should not be.
        DamagedEntryError: An entry was changed or moved. What came before it is done.
    """
    at_least(1, batch_rows=batch_rows)
    at_least(0, pause=pause)
    unit_of_work = UnitOfWork(bind, schema, encryption)
    done = 0
    after = 0
    while True:
        ids, after = unit_of_work.read(
            "look for entries to encrypt", partial(_entries_to_do, encryption, after)
        )
        for some in in_parts(ids, batch_rows):
            done += unit_of_work.write("encrypt entries", partial(_encrypt, some), bounded=False)
            progress(done)
            if unit_of_work.own:
                wait(pause)
        if not after:
            break
    summaries = _encrypt_summaries(unit_of_work, encryption)
    while unit_of_work.write("forget the words of what is encrypted", _forget_words):
        pass
    left = select(func.count()).select_from(Entry).where(unplaced())
    return Reencrypted(
        done,
        summaries,
        unit_of_work.read("count the rows to place", lambda connection: connection.select(left).scalar_one()),
    )


def _entries_to_do(encryption: Encryption, after: int, connection: StoreConnection) -> tuple[list[int], int]:
    """The ids to encrypt among the next entries, and where to go on; 0 at the end."""
    rows = connection.select(statements.select_headers(), {"after": after, "most": _LOOKED_AT}).all()
    todo = [
        row_id
        for row_id, project, session, header in rows
        if not _is_current(encryption.of(Session(project, session)), header)
    ]
    return todo, rows[-1][0] if len(rows) == _LOOKED_AT else 0


def _is_current(cipher: SessionCipher, header: str | None) -> bool:
    return header is not None and header.startswith(f"{SEALED}{cipher.key_id}:")


def _encrypt(ids: Sequence[int], connection: StoreConnection) -> int:
    cipher = connection.cipher
    assert cipher is not None  # noqa: S101 - `reencrypt` gives one
    changed: list[dict[str, Any]] = []
    for row_id, project, session, subpath, position, key, stored in connection.select(
        statements.select_stored(), {"ids": ids}
    ):
        transcript = Transcript(project, session, subpath)
        of_session = cipher.of(transcript.session)
        text = open_entry(cipher, StoredAt(transcript, position, key or b""), stored)
        new_key = key or b""
        if len(new_key) == LINE_KEY_LENGTH:  # made of the content, under a key: see docs/encryption.md
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
    """Encrypt summaries, each unless its session was written to meanwhile: then it is encrypted."""
    changed: list[dict[str, Any]] = []
    for session, stored in todo:
        data = open_summary(connection.cipher, session, stored)
        new = None if data is None else seal_summary(connection.cipher, session, encode_summary(data))
        changed.append({**in_session(session), "stored": stored, "new_data": new})
    connection.write(statements.update_summary(), changed)
    return len(changed)


def _forget_words(connection: StoreConnection) -> bool:
    """Empty search's index, some sessions at a time: it holds what was said in plain. Returns whether there
    may be more."""
    lock(connection)
    sessions = connection.select(statements.select_searched(), {"most": BATCH_ROWS}).all()
    for project, session_id in sessions:
        session = Session(project, session_id)
        # What is not encrypted, if it is another tenant's, is found again by whoever searches next.
        forget_texts(connection, [session])
    if sessions and connection.dialect == "sqlite":
        connection.write(searches.merge_words(), {})
    return len(sessions) == BATCH_ROWS
