"""An entry and what is stored of it: the only `json.dumps` and `json.loads` of entries.

What comes back equals `json.loads(json.dumps(entry))`, types included. JSONB alone does not give that: it
refuses NUL characters and lone surrogates, and turns `1e23` into an integer and `-0.0` into `0.0`. Such
an entry, and only such a one, is stored a second time as text (`verbatim`).
"""

import hashlib
import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar, cast

from boocode_sessions.contract import SessionStoreEntry, Transcript
from boocode_sessions.errors import DamagedEntryError, InvalidEntryError

_A = TypeVar("_A")
_T = TypeVar("_T")


class EncodedEntry(NamedTuple):
    """One entry as it is stored."""

    dedup_key: str
    """Unique within its transcript: made of the uuid, or of the append call's nonce and the position."""
    text: str
    """JSON that JSONB accepts."""
    verbatim: str | None
    """ASCII JSON that reads back exactly, where `text` would not."""

    @property
    def exact(self) -> str:
        return self.text if self.verbatim is None else self.verbatim


def new_nonce() -> str:
    """What tells the uuid-less entries of one append call from all others: 96 random bits."""
    return secrets.token_urlsafe(12)


def encode_batch(
    transcript: Transcript, entries: Sequence[Mapping[str, Any]], nonce: str
) -> list[EncodedEntry]:
    """Every entry of one append call, as it is stored.

    Raises InvalidEntryError, which names the transcript, the position and the path inside the entry.
    """
    if not isinstance(entries, list | tuple):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise InvalidEntryError(f"{transcript}: entries are a list, not {type(entries).__name__}")
    encoded: list[EncodedEntry] = []
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise InvalidEntryError(
                f"{transcript}: entries[{position}] is not a dict but {type(entry).__name__}"
            )
        try:
            text, verbatim = _with_a_whole_stack(_encode, cast("dict[Any, Any]", entry))
        except (TypeError, ValueError, RecursionError):
            problem = f"{transcript}: entries[{position}]{_problem(entry)}"
        else:
            encoded.append(EncodedEntry(uuid_key(entry) or f"~{nonce}.{position}", text, verbatim))
            continue
        raise InvalidEntryError(problem)
    return encoded


def encode_rows(number: int, encoded: Iterable[EncodedEntry]) -> str:
    """Encoded entries as members of a JSON array: [number, dedup_key, verbatim or null, entry]."""
    # A key needs no escapes: see uuid_key, row_key and encode_batch.
    return ",".join(
        f'[{number},"{key}",{"null" if verbatim is None else _encode_ascii(verbatim)},{text}]'
        for key, text, verbatim in encoded
    )


def decode(text: str) -> SessionStoreEntry:
    """The entry that was stored as this exact text. Raises DamagedEntryError."""
    try:
        entry: object = _with_a_whole_stack(json.loads, text)
    except (TypeError, ValueError, RecursionError):  # TypeError: SQLite stores the text `7` as a number
        problem = "is not JSON that Python can read"
    else:
        if isinstance(entry, dict):
            return cast("SessionStoreEntry", entry)
        problem = f"is of type {type(entry).__name__}, not a JSON object"
    # Outside the handler: a JSONDecodeError holds the whole document, and must not stay chained.
    raise DamagedEntryError(f"a stored entry {problem}")


def same_entry(stored: str, encoded: EncodedEntry) -> bool:
    """Whether a stored text is the same entry, types included: 1, 1.0 and true differ; key order does not.

    A stored one that can't be read is not, so that the next delivery heals it.
    """
    try:
        return stored == encoded.exact or _canonical(stored) == _canonical(encoded.exact)
    except DamagedEntryError:
        return False


def _canonical(text: str) -> str:
    return _with_a_whole_stack(_encode_sorted, decode(text))


def stored_uuid_key(text: str) -> str | None:
    """`uuid_key` of what another program stored; None too where it can't be read."""
    try:
        return uuid_key(decode(text))
    except DamagedEntryError:
        return None


def uuid_key(entry: Mapping[str, object]) -> str | None:
    """The idempotency key that an entry's uuid makes; None without one.

    A plain uuid is its own key; any other text is hashed, as an index takes neither NUL nor 10 MB. An empty
    uuid is none: it would make one entry of all that carry it.
    """
    uuid = entry.get("uuid")
    if not isinstance(uuid, str) or not uuid:
        return None
    if _PLAIN_UUID.fullmatch(uuid):
        return uuid
    # UTF-16, since a surrogate pair given as two code points comes back as one character.
    return "sha256:" + hashlib.sha256(uuid.encode("utf-16-le", "surrogatepass")).hexdigest()


def row_key(row_id: int) -> str:
    """The idempotency key of another writer's row that has no uuid, or one that an earlier row has too."""
    return f"~row.{row_id}"


OTHER_KEYS = "~"
"""What every idempotency key begins with that is not made of a uuid."""
LINE_KEYS = "~line."
"""What those begin with that are made of a line's content."""


def line_key(fingerprint: str, occurrence: int) -> str:
    """The idempotency key of a transcript file's line that has no uuid: it is its content and which one of
    the lines with that content it is, counted from 1."""
    return f"{LINE_KEYS}{fingerprint}.{occurrence}"


def fingerprint_in(dedup_key: str) -> str | None:
    """The fingerprint that `line_key` made a key of; None for another kind of key."""
    if not dedup_key.startswith(LINE_KEYS):
        return None
    return dedup_key[len(LINE_KEYS) :].partition(".")[0]


def fingerprint(entry: Mapping[str, Any]) -> str:
    """The same text for equal entries, types included, whatever the order of their keys."""
    canonical = _with_a_whole_stack(_encode_sorted, entry)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class Line(NamedTuple):
    """One line of a transcript file."""

    entry: dict[str, Any]
    text: str
    verbatim: str | None


class LineReader:
    """Reads the lines of transcript files, one thread's at a time.

    `as_is`: take a line's own text where it is provably what JSONB gives back unchanged, instead of writing
    the entry anew, which is half the work. To be left out for a database that keeps text as it came, since
    there two equal keys in one object would stay two.
    """

    def __init__(self, *, as_is: bool) -> None:
        self._as_is = as_is
        self._plain = True
        decoder = json.JSONDecoder(parse_float=self._float, parse_constant=_refuse_constant)
        self._decode = decoder.decode

    def read(self, line: bytes) -> Line:
        """Raises InvalidEntryError, whose text is what is wrong and holds nothing of the line."""
        problem = "it is not JSON"
        try:
            text = line.decode()
            self._plain = self._as_is
            entry: object = _with_a_whole_stack(self._decode, text)
            if isinstance(entry, dict):
                members = cast("dict[str, Any]", entry)
                if self._plain and _is_plain(text):
                    return Line(members, text, None)
                return Line(members, *_with_a_whole_stack(_encode, members))
            problem = "it is JSON, but not an object"
        except UnicodeDecodeError:
            problem = "it is not UTF-8"
        except RecursionError:
            problem = "it is nested too deeply for Python's json"
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):
                problem = "it holds a number that JSON or Python does not take, or is nested too deeply"
        raise InvalidEntryError(problem)

    def read_metadata(self, document: bytes) -> Line:
        """A subagent's `.meta.json` as the entry that a live mirror sends for it."""
        entry = {**self.read(document).entry, "type": AGENT_METADATA}
        return Line(entry, *_with_a_whole_stack(_encode, entry))

    def _float(self, literal: str) -> float:
        value = float(literal)
        if (
            "e" in literal
            or "E" in literal
            or len(literal) > _LONGEST_PLAIN_FLOAT
            or (value == 0 and literal.startswith("-"))
        ):
            self._plain = False
        return value


def write_line(entry: Mapping[str, Any]) -> bytes:
    """An entry as a line of a transcript file, newline included, in the form that the agent writes."""
    try:
        text = _with_a_whole_stack(_encode_utf8, entry)
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return _with_a_whole_stack(_encode_ascii, entry).encode() + b"\n"


def write_metadata(entry: Mapping[str, Any]) -> bytes:
    """An `agent_metadata` entry as the `.meta.json` file that it stands for."""
    return write_line({name: value for name, value in entry.items() if name != "type"}).rstrip(b"\n")


AGENT_METADATA = "agent_metadata"
"""The `type` of the entries that a live mirror sends for a subagent's `.meta.json` file."""


def _is_plain(text: str) -> bool:
    """Whether a JSON text has no escape that JSONB refuses, and is not nested too deeply."""
    if "\\u" in text and any(escape in text for escape in _NOT_IN_JSONB):
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def _refuse_constant(literal: str) -> None:  # noqa: ARG001 - json's signature
    raise ValueError


_NOT_IN_JSONB = ("\\u0000", "\\ud", "\\uD")
"""Escapes of NUL and of surrogates, which may be lone ones."""
_LONGEST_PLAIN_FLOAT = 300
"""Characters; far below what PostgreSQL's numeric keeps exactly."""


def encode_summary(data: Mapping[str, Any]) -> str:
    """A folded summary as ASCII text: a title can hold a NUL, which JSONB refuses."""
    return json.dumps(data, separators=(",", ":"))


def decode_summary(text: str | None) -> dict[str, Any] | None:
    """The folded summary that was stored; None where there is none to read: it can be folded again."""
    try:
        return None if text is None else cast("dict[str, Any]", decode(text))
    except DamagedEntryError:
        return None


_encode_utf8 = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode

_encode_sorted = json.JSONEncoder(sort_keys=True).encode

_PLAIN = frozenset({str, int, bool, type(None)})
_ARRAYS = (list, tuple)

MAX_DEPTH = 900
"""Most levels that an entry may nest. Python's json reads 1,000 less the stack, SQLite's functions 1,000."""

_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_PLAIN_UUID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def _with_a_whole_stack(work: Callable[[_A], _T], argument: _A) -> _T:
    """`work(argument)`, which recurses; in a thread of its own where the caller's stack is too deep for it.

    What one caller appends would else be unreadable to another who calls from deeper down.
    """
    try:
        return work(argument)
    except RecursionError:
        pass
    with ThreadPoolExecutor(max_workers=1) as own:
        return own.submit(work, argument).result()


def _encode(entry: dict[Any, Any]) -> tuple[str, str | None]:
    text = _encode_utf8(entry)
    changed = _numbers_change(entry)
    if text.isascii():
        storable = True
    else:
        try:
            text.encode()
        except UnicodeEncodeError:
            storable = False
        else:
            storable = True
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        storable = False
    if storable and not changed:
        return text, None
    verbatim = _encode_ascii(entry)
    return (text if storable else _storable(text)), verbatim


def _numbers_change(entry: dict[Any, Any]) -> bool:
    """Whether JSONB would give a float back as another value or type.

    A walk without recursion, over what is not plain only, since it is run over every entry: 2 microseconds
    of the 17 that an average entry takes. Raises TypeError for a key that is not text, which `json.dumps`
    would turn into text silently, and ValueError for what is nested too deeply.
    """
    changed = False
    found: list[Any] = [entry]
    for node in found:  # it grows on the way
        if isinstance(node, float):
            changed = changed or _float_changes(node)
        elif isinstance(node, dict):
            for key, child in cast("dict[Any, Any]", node).items():
                if type(key) is not str and not isinstance(key, str):
                    raise TypeError
                if type(child) not in _PLAIN:
                    found.append(child)
        elif isinstance(node, _ARRAYS):
            found += [child for child in cast("Sequence[Any]", node) if type(child) not in _PLAIN]
    if len(found) > MAX_DEPTH and _depth(entry) > MAX_DEPTH:
        raise ValueError
    return changed


def _float_changes(value: float) -> bool:
    return "e" in float.__repr__(value) or (value == 0 and math.copysign(1, value) < 0)


def _storable(text: str) -> str:
    """The nearest JSON that JSONB accepts: NUL and lone surrogates become U+FFFD."""
    without_nul = _ESCAPED_NUL.sub(r"\1\\ufffd", text)
    return without_nul.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _depth(entry: dict[Any, Any]) -> int:
    """How many levels an entry nests, itself included."""
    depth = 0
    level: list[Any] = [entry]
    while level:
        depth += 1
        level = [
            child
            for node in level
            for child in (cast("dict[Any, Any]", node).values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list | tuple)
        ]
    return depth


def _problem(entry: object) -> str:
    """Where an entry stops being JSON, in words: positions only, never a content's own keys.

    Without recursion, as it has to find what is nested too deeply.
    """
    path: list[str] = [""]
    walk: list[tuple[object, Iterator[tuple[str, object, object]]]] = []
    key: object = ""
    value = entry
    while True:
        if (problem := _problem_at(key, value, [above for above, _ in walk])) is not None:
            return "".join(path[:_MAX_PATH]) + (" > ..." if len(path) > _MAX_PATH else "") + problem
        if isinstance(value, dict | list | tuple):
            container = cast("dict[object, object] | Sequence[object]", value)
            walk.append((container, _members(container)))
            path.append("")
        member: tuple[str, object, object] | None = None
        while walk and (member := next(walk[-1][1], None)) is None:
            walk.pop()
            path.pop()
        if member is None:
            return " holds what Python's json does not take"
        path[-1], key, value = member


def _problem_at(key: object, value: object, above: list[object]) -> str | None:
    problem: str | None = None
    if not isinstance(key, str):
        problem = f" has a key of type {type(key).__name__}; JSON's keys are text"
    elif isinstance(value, dict | list | tuple):
        if any(value is container for container in above):
            problem = " holds itself"
        elif len(above) >= MAX_DEPTH:
            problem = f" is nested more than {MAX_DEPTH} levels deep"
    elif isinstance(value, float) and not math.isfinite(value):
        problem = " is NaN or infinite, which JSON does not have"
    elif isinstance(value, int) and abs(value) >= _INT_LIMIT:
        problem = " is an integer of more than 4,300 digits, which Python does not write"
    elif not isinstance(value, str | int | float | None):
        problem = f" is of type {type(value).__name__}, which JSON does not have"
    return problem


_INT_LIMIT = 10**4300
_MAX_PATH = 16


def _members(value: dict[object, object] | Sequence[object]) -> Iterator[tuple[str, object, object]]:
    if isinstance(value, dict):
        for number, (key, member) in enumerate(value.items()):
            yield f" > member {number}", key, member
    else:
        for number, item in enumerate(value):
            yield f" > item {number}", "", item
