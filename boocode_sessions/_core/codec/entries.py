"""Encodes the entries of one append, and decodes stored entries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from boocode_sessions._core.codec.extracted import Extracted, extract
from boocode_sessions._core.codec.json_text import (
    Line,
    decode_text,
    encode,
    encode_ascii,
    encode_plain,
    encode_sorted,
    with_fresh_stack,
)
from boocode_sessions._core.codec.keys import call_key, fingerprint, uuid_key
from boocode_sessions._core.codec.problems import problem_in
from boocode_sessions._core.keys import SessionStoreEntry, Transcript
from boocode_sessions.errors import SEALED, DamagedEntryError, InvalidEntryError, MissingKeyError


class EncodedEntry(NamedTuple):
    """One entry as it is stored."""

    dedup_key: bytes
    """Unique within its transcript. It is made from the uuid, or else from the append call's nonce and the
    entry's index in the call. Empty for another program's row that has no uuid."""
    json: bytes
    """JSON in UTF-8 that JSONB accepts."""
    verbatim: bytes | None
    """ASCII JSON that reads back exactly; None if `json` does too."""
    extracted: Extracted
    entry: Mapping[str, Any]
    """The encoded copy, which nobody else can change; empty if another program's row is damaged."""
    size: int
    """Bytes of the entry's JSON, even if it is stored encrypted."""

    @classmethod
    def of_line(cls, dedup_key: bytes, line: Line) -> Self:
        """Make the encoded entry of a transcript line, under a key."""
        return cls(dedup_key, line.json, line.verbatim, extract(line.entry), line.entry, len(line.json))

    @property
    def exact(self) -> bytes:
        return self.json if self.verbatim is None else self.verbatim

    def row(self, text: Callable[[bytes], object]) -> tuple[Any, ...]:
        """Return the values of `statements.columns.COLUMNS`, in their order.

        `text` turns UTF-8 bytes into a driver parameter.
        """
        verbatim = None if self.verbatim is None else text(self.verbatim)
        return (self.dedup_key, text(self.json), verbatim, self.size, *self.extracted)


def encode_batch(
    transcript: Transcript, entries: Sequence[Mapping[str, Any]], nonce: bytes
) -> list[EncodedEntry]:
    """Encode every entry of one append call.

    Raises InvalidEntryError, whose message has the transcript, the entry's index and the path inside the
    entry.
    """
    if not isinstance(entries, list | tuple):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InvalidEntryError(f"{transcript}: entries are a list, not {type(entries).__name__}")
    return [_encode_one(transcript, place, entry, nonce) for place, entry in enumerate(entries)]


def _encode_one(transcript: Transcript, place: int, entry: object, nonce: bytes) -> EncodedEntry:
    if not isinstance(entry, dict):
        raise InvalidEntryError(f"{transcript}: entries[{place}] is not a dict but {type(entry).__name__}")
    try:
        line = with_fresh_stack(encode, cast("dict[Any, Any]", entry))
    except (TypeError, ValueError, RecursionError):
        problem = f"{transcript}: entries[{place}]{problem_in(cast('object', entry))}"
    else:
        return EncodedEntry.of_line(uuid_key(line.entry) or call_key(nonce, place), line)
    raise InvalidEntryError(problem)  # outside the handler: its error may hold the entry


def encode_rows(encoded: Iterable[EncodedEntry]) -> bytes:
    """Return entries as a JSON array of arrays in UTF-8: the values of each `row`, with hexadecimal keys.

    They are joined as bytes: joined as text, one character outside ASCII would widen all of it.
    """
    pieces: list[bytes] = []
    before = b'[["'
    for key, text, exact, extracted, _, size in encoded:
        verbatim = b"null" if exact is None else encode_plain(exact.decode())
        values = encode_plain((size, *extracted))
        pieces += (before, key.hex().encode(), b'",', text, b",", verbatim, b",", values[1:])
        before = b',["'
    pieces.append(b"]")
    return b"".join(pieces)


KEY_HINT = "pass `encryption=` with its key, or set BOOCODE_SESSIONS_KEY_FILE for the command line"


def decode(text: str | bytes) -> SessionStoreEntry:
    """Return the entry that was stored as this exact text. Raises DamagedEntryError, MissingKeyError."""
    try:
        entry: object = with_fresh_stack(decode_text, text)
    except (TypeError, ValueError, RecursionError):  # TypeError: SQLite returns the text `7` as a number
        problem = "is not JSON that Python can read"
    else:
        if isinstance(entry, dict):
            return cast("SessionStoreEntry", entry)
        problem = f"is of type {type(entry).__name__}, not a JSON object"
    if str(text).removeprefix("b'").startswith(SEALED):
        raise MissingKeyError(f"a stored entry is encrypted: {KEY_HINT}")
    # Raised outside the handler: a JSONDecodeError holds the whole document and must not stay chained.
    raise DamagedEntryError(f"a stored entry {problem}")


def same_entry(stored: bytes, encoded: EncodedEntry) -> bool:
    """True if a stored text is the same entry. False if it can't be read.

    Types count: 1, 1.0 and true differ. The order of keys doesn't.
    """
    try:
        return stored == encoded.exact or _canonical(decode(stored)) == _canonical(encoded.entry)
    except DamagedEntryError:
        return False


def _canonical(entry: Mapping[str, Any]) -> str:
    return with_fresh_stack(encode_sorted, entry)


def content_of(encoded: EncodedEntry) -> bytes:
    """Return the fingerprint of an encoded entry."""
    return fingerprint(encoded.entry)


def encode_stored(text: str) -> EncodedEntry:
    """Encode what another program stored. The key is made from the uuid, and is empty without one."""
    stored = str(text).encode()  # SQLite returns the text `7` as a number
    try:
        entry = decode(text)
    except DamagedEntryError:
        return EncodedEntry(b"", stored, None, Extracted(), {}, len(stored))
    return EncodedEntry(uuid_key(entry) or b"", stored, None, extract(entry), entry, len(stored))


def encode_summary(data: Mapping[str, Any]) -> str:
    """Encode a folded summary as ASCII text. JSONB would refuse it if, say, its title holds a NUL."""
    return encode_ascii(data)
