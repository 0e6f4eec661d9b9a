"""One append's entries, and what is stored of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from boocode_sessions._core.codec.extracted import Extracted, extract
from boocode_sessions._core.codec.json_text import (
    decode_text,
    encode,
    encode_ascii,
    encode_sorted,
    encode_values,
    with_a_whole_stack,
)
from boocode_sessions._core.codec.keys import call_key, fingerprint, uuid_key
from boocode_sessions._core.codec.lines import Line
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
    plain_size: int | None = None
    """Bytes of the entry as JSON, where `json` is not the entry because it is encrypted."""

    @classmethod
    def of_line(cls, dedup_key: bytes, line: Line) -> Self:
        """A line of a transcript file, under a key."""
        return cls(dedup_key, line.json, line.verbatim, extract(line.entry))

    @property
    def exact(self) -> bytes:
        return self.json if self.verbatim is None else self.verbatim

    @property
    def size(self) -> int:
        """Bytes of the entry as JSON."""
        return len(self.json) if self.plain_size is None else self.plain_size

    def row(self, text: Callable[[bytes], object]) -> tuple[Any, ...]:
        """The values of `statements.append.COLUMNS`, in their order. `text` makes a parameter of UTF-8."""
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
            text, verbatim = with_a_whole_stack(encode, cast("dict[Any, Any]", entry))
        except (TypeError, ValueError, RecursionError):
            problem = f"{transcript}: entries[{position}]{problem_in(entry)}"
        else:
            key = uuid_key(entry) or call_key(nonce, position)
            yield EncodedEntry(key, text, verbatim, extract(entry))
            continue
        raise InvalidEntryError(problem)


def encode_rows(encoded: Iterable[EncodedEntry]) -> bytes:
    """Encoded entries as a JSON array of arrays in UTF-8: the values of each `row`, keys as hexadecimal text.

    As bytes: joined as text, one character outside ASCII would widen all of it.
    """
    pieces: list[bytes] = []
    before = b'[["'
    for key, text, exact, extracted, plain_size in encoded:
        verbatim = b"null" if exact is None else encode_values(exact.decode())
        values = encode_values((len(text) if plain_size is None else plain_size, *extracted))
        pieces += (before, key.hex().encode(), b'",', text, b",", verbatim, b",", values[1:])
        before = b',["'
    pieces.append(b"]")
    return b"".join(pieces)


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
        raise MissingKeyError("a stored entry is encrypted: give `encryption=` with its key")
    # Outside the handler: a JSONDecodeError holds the whole document, and must not stay chained.
    raise DamagedEntryError(f"a stored entry {problem}")


def same_entry(stored: bytes, encoded: EncodedEntry) -> bool:
    """Whether a stored text is the same entry, types included: 1, 1.0 and true differ; key order does not.

    A stored one that can't be read is not.
    """
    try:
        return stored == encoded.exact or _canonical(stored) == _canonical(encoded.exact)
    except DamagedEntryError:
        return False


def _canonical(text: bytes) -> str:
    return with_a_whole_stack(encode_sorted, decode(text))


def content_of(encoded: EncodedEntry) -> bytes:
    """The fingerprint of an entry."""
    return fingerprint(decode(encoded.exact))


def encode_stored(text: str) -> EncodedEntry:
    """What another program stored, as we would have: under its uuid's key, which is empty without one."""
    try:
        entry = decode(text)
    except DamagedEntryError:
        # SQLite gives the text `7` as a number.
        return EncodedEntry(b"", str(text).encode(), None, Extracted())
    return EncodedEntry(uuid_key(entry) or b"", text.encode(), None, extract(entry))


def encode_summary(data: Mapping[str, Any]) -> str:
    """A folded summary as ASCII text: a title can hold a NUL, which JSONB refuses."""
    return encode_ascii(data)
