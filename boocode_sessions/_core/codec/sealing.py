"""Encrypts entries and summaries before they are stored, and decrypts them after they are read.

Without a cipher, texts pass through unchanged. The package `privacy` has one, which this module doesn't know.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from boocode_sessions._core.codec.entries import KEY_HINT, EncodedEntry, decode
from boocode_sessions._core.codec.json_text import encode_ascii
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions.errors import SEALED, DamagedEntryError, MissingKeyError, PlainEntryError


class SessionCipher(Protocol):
    """Encrypts what is stored of one session.

    `bound_to` says in bytes where a text is stored. A text opens only with the bytes it was sealed with.
    """

    @property
    def key_id(self) -> str:
        """The id of the key that `seal` uses."""
        ...

    def seal(self, text: bytes, bound_to: bytes) -> bytes:
        """Encrypt a text, as ASCII that begins with `SEALED` and the key's id. Raises SessionStoreError."""
        ...

    def open(self, sealed: str, bound_to: bytes) -> bytes:
        """Decrypt a text. Raises MissingKeyError, or DamagedEntryError if the text was changed or moved."""
        ...

    def fingerprints(self, fingerprint: bytes) -> Sequence[bytes]:
        """Return a content's fingerprint under each key, its length unchanged. New rows get the first."""
        ...


@runtime_checkable
class Cipher(Protocol):
    """Encrypts a store."""

    @property
    def reads_plain(self) -> bool:
        """True if rows that are not encrypted can be read too, as while a store is being encrypted."""
        ...

    def of(self, session: Session) -> SessionCipher:
        """Return a session's cipher. Raises MissingKeyError."""
        ...


class StoredAt(NamedTuple):
    """Where an entry is stored. Once a row has its place, none of these change."""

    transcript: Transcript
    position: int
    dedup_key: bytes

    @property
    def bound_to(self) -> bytes:
        return _begins(self.transcript.subpath) + _POSITION.pack(self.position) + self.dedup_key


def seal_entries(
    cipher: Cipher | None, transcript: Transcript, first: int, encoded: Sequence[EncodedEntry]
) -> Sequence[EncodedEntry]:
    """Encrypt entries that will be stored from position `first` on."""
    if cipher is None:
        return encoded
    of_session = cipher.of(transcript.session)
    return [
        seal_entry(of_session, StoredAt(transcript, first + place, item.dedup_key), item)
        for place, item in enumerate(encoded)
    ]


def seal_entry(cipher: SessionCipher, at: StoredAt, item: EncodedEntry) -> EncodedEntry:
    """Encrypt an entry's text for where it is stored. Its columns stay readable."""
    return item._replace(
        json=encode_ascii({"encrypted": cipher.key_id}).encode(),
        verbatim=cipher.seal(item.exact, at.bound_to),
    )


def open_entry(cipher: Cipher | None, at: StoredAt, stored: str) -> bytes:
    """Return the exact text of a stored entry.

    Raises MissingKeyError, PlainEntryError, DamagedEntryError.
    """
    return Opener(cipher, at.transcript)(at.position, at.dedup_key, stored)


class Opener:
    """Opens the entries of one transcript. Like `open_entry`, but for many."""

    def __init__(self, cipher: Cipher | None, transcript: Transcript) -> None:
        self._cipher = cipher
        self._session = transcript.session
        self._begins = _begins(transcript.subpath)
        self._of_session: SessionCipher | None = None

    def __call__(self, position: int, dedup_key: bytes | None, stored: str) -> bytes:
        """Return the exact text. Raises the same errors as `open_entry`."""
        if not _is_sealed(self._cipher, self._session, stored):
            return str(stored).encode()  # SQLite returns another program's text `7` as a number
        if self._of_session is None:
            assert self._cipher is not None  # noqa: S101 - _is_sealed raises without one
            self._of_session = self._cipher.of(self._session)
        try:
            bound_to = self._begins + _POSITION.pack(position) + (dedup_key or b"")
        except (TypeError, struct.error):  # SQLite stores a value of any type in any column
            bound_to = b""
        return self._of_session.open(stored, bound_to)


def _begins(subpath: str) -> bytes:
    encoded = subpath.encode()
    return struct.pack(">cH", b"e", len(encoded)) + encoded


def seal_summary(cipher: Cipher | None, session: Session, text: str) -> str:
    """Return a summary as it is stored."""
    return text if cipher is None else cipher.of(session).seal(text.encode(), _SUMMARY).decode()


def decode_summary(cipher: Cipher | None, session: Session, stored: str | None) -> dict[str, Any] | None:
    """Return the folded summary that was stored. None if it is missing or damaged: it can be folded again.

    Raises MissingKeyError, PlainEntryError.
    """
    if stored is None:
        return None
    try:
        if not _is_sealed(cipher, session, stored):
            return dict(decode(stored))
        assert cipher is not None  # noqa: S101 - _is_sealed raises without one
        return dict(decode(cipher.of(session).open(stored, _SUMMARY)))
    except DamagedEntryError:
        return None


def content_keys_of(cipher: Cipher | None, session: Session, fingerprint: bytes) -> Sequence[bytes]:
    """Return the bytes that stand for a content in keys made from it, those of the newest key first.

    In an encrypted store these are keyed hashes: a plain hash would confirm a guess at the content.
    """
    return (fingerprint,) if cipher is None else cipher.of(session).fingerprints(fingerprint)


def _is_sealed(cipher: Cipher | None, session: Session, stored: object) -> bool:
    sealed = isinstance(stored, str) and stored.startswith(SEALED)  # SQLite returns the text `7` as a number
    if sealed and cipher is None:
        raise MissingKeyError(f"{session} is encrypted: {KEY_HINT}")
    if not sealed and cipher is not None and not cipher.reads_plain:
        raise PlainEntryError(
            f"{session} is not encrypted throughout: find out who wrote to it without the key; to encrypt a "
            "store that was not, run `boocode-sessions reencrypt --from-plain`, and until it has ended give "
            "Encryption(..., reads_plain=True)"
        )
    return sealed


_SUMMARY = b"s"
_POSITION = struct.Struct(">q")
