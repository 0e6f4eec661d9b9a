"""One append's entries, and what is stored of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from boocode_sessions._core.codec.extracted import Extracted, extract
from boocode_sessions._core.codec.json_text import (
    Line,
    decode_text,
    encode,
    encode_ascii,
    encode_plain,
    encode_sorted,
    with_a_whole_stack,
)
from boocode_sessions._core.codec.keys import call_key, fingerprint, uuid_key
from boocode_sessions._core.codec.problems import problem_in
from boocode_sessions._core.keys import SessionStoreEntry, Transcript
from boocode_sessions.errors import SEALED, DamagedEntryError, InvalidEntryError, MissingKeyError


class EncodedEntry(NamedTuple):
    """One entry as it is stored."""

    dedup_key: bytes
    """Unique within its transcript: made of the uuid, or of the append call's nonce and the place. Empty
    where another program's row has no uuid."""
    json: bytes
    """JSON in UTF-8 that JSONB accepts."""
    verbatim: bytes | None
    """ASCII JSON that reads back exactly, where `json` would not."""
    extracted: Extracted
    entry: Mapping[str, Any]
    """What was encoded, which nobody else can change; empty for another program's row that is damaged."""
    size: int
    """Bytes of the entry as JSON, also where it is encrypted."""

    @classmethod
    def of_line(cls, dedup_key: bytes, line: Line) -> Self:
        """A line of a transcript, under a key."""
        return cls(dedup_key, line.json, line.verbatim, extract(line.entry), line.entry, len(line.json))

    @property
    def exact(self) -> bytes:
        return self.json if self.verbatim is None else self.verbatim

    def row(self, text: Callable[[bytes], object]) -> tuple[Any, ...]:
        """The values of `statements.columns.COLUMNS`, in their order. `text` makes a parameter of UTF-8."""
        verbatim = None if self.verbatim is None else text(self.verbatim)
        return (self.dedup_key, text(self.json), verbatim, self.size, *self.extracted)


def encode_batch(
    transcript: Transcript, entries: Sequence[Mapping[str, Any]], nonce: bytes
) -> list[EncodedEntry]:
    """Every entry of one append call, as it is stored.

    Raises InvalidEntryError, which names the transcript, the position and the path inside the entry.
    """
    check_batch(transcript, entries)
    return list(encode_each(transcript, entries, nonce))


def check_batch(transcript: Transcript, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise InvalidEntryError for what is no list."""
    if not isinstance(entries, list | tuple):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InvalidEntryError(f"{transcript}: entries are a list, not {type(entries).__name__}")


def encode_each(
    transcript: Transcript, entries: Iterable[Mapping[str, Any]], nonce: bytes
) -> Iterator[EncodedEntry]:
    """As `encode_batch`, one by one."""
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise InvalidEntryError(
                f"{transcript}: entries[{position}] is not a dict but {type(entry).__name__}"
            )
        try:
            line = with_a_whole_stack(encode, cast("dict[Any, Any]", entry))
        except (TypeError, ValueError, RecursionError):
            problem = f"{transcript}: entries[{position}]{problem_in(entry)}"
        else:
            key = uuid_key(line.entry) or call_key(nonce, position)
            yield EncodedEntry.of_line(key, line)
            continue
        raise InvalidEntryError(problem)


def encode_rows(encoded: Iterable[EncodedEntry]) -> bytes:
    """Encoded entries as a JSON array of arrays in UTF-8: the values of each `row`, keys as hexadecimal text.

    As bytes: joined as text, one character outside ASCII would widen all of it.
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


GIVE_KEY = "give `encryption=` with its key, or to the command line BOOCODE_SESSIONS_KEY_FILE"


def decode(text: str | bytes) -> SessionStoreEntry:
    """The entry that was stored as this exact text. Raises DamagedEntryError."""
    try:
        entry: object = with_a_whole_stack(decode_text, text)
    except (TypeError, ValueError, RecursionError):  # TypeError: SQLite stores the text `7` as a number
        problem = "is not JSON that Python can read"
    else:
        if isinstance(entry, dict):
            return cast("SessionStoreEntry", entry)
        problem = f"is of type {type(entry).__name__}, not a JSON object"
    if str(text).removeprefix("b'").startswith(SEALED):
        raise MissingKeyError(f"a stored entry is encrypted: {GIVE_KEY}")
    # Outside the handler: a JSONDecodeError holds the whole document, and must not stay chained.
    raise DamagedEntryError(f"a stored entry {problem}")


def same_entry(stored: bytes, encoded: EncodedEntry) -> bool:
    """Whether a stored text is the same entry, types included: 1, 1.0 and true differ; key order does not.

    A stored one that can't be read is not.
    """
    try:
        return stored == encoded.exact or _canonical(decode(stored)) == _canonical(encoded.entry)
    except DamagedEntryError:
        return False


def _canonical(entry: Mapping[str, Any]) -> str:
    return with_a_whole_stack(encode_sorted, entry)


def content_of(encoded: EncodedEntry) -> bytes:
    """The fingerprint of an entry."""
    return fingerprint(encoded.entry)


def encode_stored(text: str) -> EncodedEntry:
    """What another program stored, as we would have: under its uuid's key, which is empty without one."""
    stored = str(text).encode()  # SQLite gives the text `7` as a number
    try:
        entry = decode(text)
    except DamagedEntryError:
        return EncodedEntry(b"", stored, None, Extracted(), {}, len(stored))
    return EncodedEntry(uuid_key(entry) or b"", stored, None, extract(entry), entry, len(stored))


def encode_summary(data: Mapping[str, Any]) -> str:
    """A folded summary as ASCII text: a title can hold a NUL, which JSONB refuses."""
    return encode_ascii(data)
