"""Where an entry or a summary is encrypted before it is stored, and decrypted after it is read.

Without a cipher nothing of this runs. The package `privacy` has one; nothing here knows which.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from boocode_sessions._core.codec.entries import GIVE_KEY, EncodedEntry, decode
from boocode_sessions._core.codec.json_text import encode_ascii
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions.errors import SEALED, DamagedEntryError, MissingKeyError, PlainEntryError


class SessionCipher(Protocol):
    """Encrypts what is stored of one session.

    `bound_to` are bytes that have to be the same when a text is opened: they say where it is stored.
    """

    @property
    def key_id(self) -> str:
        """Of the key that `seal` uses."""
        ...

    def seal(self, text: bytes, bound_to: bytes) -> bytes:
        """A text encrypted, as ASCII that begins with `SEALED` and the key's id. Raises SessionStoreError."""
        ...

    def open(self, sealed: str, bound_to: bytes) -> bytes:
        """The text again. Raises MissingKeyError; DamagedEntryError for what was changed, or moved."""
        ...

    def fingerprints(self, fingerprint: bytes) -> Sequence[bytes]:
        """A content's fingerprint under each key, as long as it was: the first is what a new row gets."""
        ...


@runtime_checkable
class Cipher(Protocol):
    """Encrypts a store."""

    @property
    def reads_plain(self) -> bool:
        """Whether rows that are not encrypted are read too, as while a store is being encrypted."""
        ...

    def of(self, session: Session) -> SessionCipher:
        """The one of a session. Raises MissingKeyError."""
        ...


class StoredAt(NamedTuple):
    """Where an entry is stored: what never changes of a row that has its place."""

    transcript: Transcript
    position: int
    dedup_key: bytes

    @property
    def bound_to(self) -> bytes:
        return _begins(self.transcript.subpath) + _POSITION.pack(self.position) + self.dedup_key


def seal_entries(
    cipher: Cipher | None, transcript: Transcript, first: int, encoded: Sequence[EncodedEntry]
) -> Sequence[EncodedEntry]:
    """Entries as they are stored from position `first` on."""
    if cipher is None:
        return encoded
    of_session = cipher.of(transcript.session)
    return [
        seal_entry(of_session, StoredAt(transcript, first + place, item.dedup_key), item)
        for place, item in enumerate(encoded)
    ]


def seal_entry(cipher: SessionCipher, at: StoredAt, item: EncodedEntry) -> EncodedEntry:
    """An entry as it is stored there: its columns stay, its text does not."""
    return item._replace(
        json=encode_ascii({"encrypted": cipher.key_id}).encode(),
        verbatim=cipher.seal(item.exact, at.bound_to),
    )


def open_entry(cipher: Cipher | None, at: StoredAt, stored: str) -> bytes:
    """The exact text of an entry that is stored there.

    Raises MissingKeyError, PlainEntryError, DamagedEntryError.
    """
    return Opener(cipher, at.transcript)(at.position, at.dedup_key, stored)


class Opener:
    """Opens the entries of one transcript: as `open_entry`, for many of them."""

    def __init__(self, cipher: Cipher | None, transcript: Transcript) -> None:
        self._cipher = cipher
        self._session = transcript.session
        self._begins = _begins(transcript.subpath)
        self._of_session: SessionCipher | None = None

    def __call__(self, position: int, dedup_key: bytes | None, stored: str) -> bytes:
        """The exact text. Raises as `open_entry`."""
        if not _is_sealed(self._cipher, self._session, stored):
            return str(stored).encode()  # SQLite gives a text that another program stored as `7` as a number
        if self._of_session is None:
            assert self._cipher is not None  # noqa: S101 - _is_sealed has raised
            self._of_session = self._cipher.of(self._session)
        try:
            bound_to = self._begins + _POSITION.pack(position) + (dedup_key or b"")
        except (TypeError, struct.error):  # SQLite keeps a value of any type in any column
            bound_to = b""
        return self._of_session.open(stored, bound_to)


def _begins(subpath: str) -> bytes:
    encoded = subpath.encode()
    return struct.pack(">cH", b"e", len(encoded)) + encoded


def seal_summary(cipher: Cipher | None, session: Session, text: str) -> str:
    """A summary as it is stored."""
    return text if cipher is None else cipher.of(session).seal(text.encode(), _SUMMARY).decode()


def decode_summary(cipher: Cipher | None, session: Session, stored: str | None) -> dict[str, Any] | None:
    """The folded summary that was stored; None where there is none to read: it can be folded again.

    Raises MissingKeyError, PlainEntryError.
    """
    if stored is None:
        return None
    try:
        if not _is_sealed(cipher, session, stored):
            return dict(decode(stored))
        assert cipher is not None  # noqa: S101 - _is_sealed has raised
        return dict(decode(cipher.of(session).open(stored, _SUMMARY)))
    except DamagedEntryError:
        return None


def content_keys_of(cipher: Cipher | None, session: Session, fingerprint: bytes) -> Sequence[bytes]:
    """What stands for a content in the idempotency keys that are made of it, the newest first.

    In an encrypted store a keyed hash: a plain one would tell who can guess the content that they were right.
    """
    return (fingerprint,) if cipher is None else cipher.of(session).fingerprints(fingerprint)


def _is_sealed(cipher: Cipher | None, session: Session, stored: object) -> bool:
    sealed = isinstance(stored, str) and stored.startswith(SEALED)  # SQLite gives the text `7` as a number
    if sealed and cipher is None:
        raise MissingKeyError(f"{session} is encrypted: {GIVE_KEY}")
    if not sealed and cipher is not None and not cipher.reads_plain:
        raise PlainEntryError(
            f"{session} is not encrypted throughout: find out who wrote to it without the key; to encrypt a "
            "store that was not, run `boocode-sessions reencrypt --from-plain`, and until it has ended give "
            "Encryption(..., reads_plain=True)"
        )
    return sealed


_SUMMARY = b"s"
_POSITION = struct.Struct(">q")
