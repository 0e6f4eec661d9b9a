"""One append's entries, and what is stored of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from boocode_sessions._core.codec.facts import facts_of
from boocode_sessions._core.codec.json_text import encode, encode_ascii, encode_sorted, with_a_whole_stack
from boocode_sessions._core.codec.keys import call_key, uuid_key
from boocode_sessions._core.codec.problems import problem_in
from boocode_sessions._core.keys import SessionStoreEntry, Transcript
from boocode_sessions.errors import DamagedEntryError, InvalidEntryError


class EncodedEntry(NamedTuple):
    """One entry as it is stored."""

    dedup_key: str
    """Unique within its transcript: made of the uuid, or of the append call's nonce and the position."""
    text: str
    """JSON that JSONB accepts."""
    verbatim: str | None
    """ASCII JSON that reads back exactly, where `text` would not."""
    facts: str | None
    """What `queries` ask of many lines, as JSON; None where it is to be read from the entry."""

    @property
    def exact(self) -> str:
        return self.text if self.verbatim is None else self.verbatim


def encode_batch(
    transcript: Transcript, entries: Sequence[Mapping[str, Any]], nonce: str
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
    transcript: Transcript, entries: Iterable[Mapping[str, Any]], nonce: str
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
            yield EncodedEntry(key, text, verbatim, facts_of(entry))
            continue
        raise InvalidEntryError(problem)


def encode_rows(number: int, encoded: Iterable[EncodedEntry]) -> str:
    """Encoded entries as members of a JSON array: [number, dedup_key, verbatim, facts, entry], or nulls."""
    # A key needs no escapes: see uuid_key, row_key and encode_batch.
    return ",".join(
        f'[{number},"{key}",{"null" if exact is None else encode_ascii(exact)},{facts or "null"},{text}]'
        for key, text, exact, facts in encoded
    )


def decode(text: str) -> SessionStoreEntry:
    """The entry that was stored as this exact text. Raises DamagedEntryError."""
    try:
        entry: object = with_a_whole_stack(json.loads, text)
    except (TypeError, ValueError, RecursionError):  # TypeError: SQLite stores the text `7` as a number
        problem = "is not JSON that Python can read"
    else:
        if isinstance(entry, dict):
            return cast("SessionStoreEntry", entry)
        problem = f"is of type {type(entry).__name__}, not a JSON object"
    # Outside the handler: a JSONDecodeError holds the whole document, and must not stay chained.
    raise DamagedEntryError(f"a stored entry {problem}")


def decode_all(texts: Sequence[str]) -> list[SessionStoreEntry]:
    """The entries that were stored as these texts, each of which is known to be one JSON value.

    Raises DamagedEntryError where some is not an object, or Python can't read it.
    """
    try:
        values: list[object] = with_a_whole_stack(json.loads, f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        values = [None]
    if all(isinstance(value, dict) for value in values):
        return cast("list[SessionStoreEntry]", values)
    raise DamagedEntryError("a stored entry can't be read")


def same_entry(stored: str, encoded: EncodedEntry) -> bool:
    """Whether a stored text is the same entry, types included: 1, 1.0 and true differ; key order does not.

    A stored one that can't be read is not, so that the next delivery heals it.
    """
    try:
        return stored == encoded.exact or _canonical(stored) == _canonical(encoded.exact)
    except DamagedEntryError:
        return False


def _canonical(text: str) -> str:
    return with_a_whole_stack(encode_sorted, decode(text))


def key_and_facts(text: str) -> tuple[str | None, str | None]:
    """`uuid_key` and `facts_of` of what another program stored; None too where it can't be read."""
    try:
        entry = decode(text)
    except DamagedEntryError:
        return None, None
    return uuid_key(entry), facts_of(entry)


def encode_summary(data: Mapping[str, Any]) -> str:
    """A folded summary as ASCII text: a title can hold a NUL, which JSONB refuses."""
    return encode_ascii(data)


def decode_summary(text: str | None) -> dict[str, Any] | None:
    """The folded summary that was stored; None where there is none to read: it can be folded again."""
    try:
        return None if text is None else cast("dict[str, Any]", decode(text))
    except DamagedEntryError:
        return None
