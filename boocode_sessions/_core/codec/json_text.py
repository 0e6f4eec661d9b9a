"""JSON as text: what Python reads back, and what JSONB accepts of it.

msgspec reads and writes it, in a quarter of the standard library's time. What msgspec refuses is left to the
standard library: lone surrogates, numbers out of its range, and subclasses of Python's own types.
"""

import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import msgspec

from boocode_sessions._core.codec.problems import MAX_DEPTH, find_problem

_A = TypeVar("_A")
_T = TypeVar("_T")

encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_encode_any = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
encode_plain = msgspec.json.Encoder().encode
"""JSON in UTF-8, of values that msgspec writes as the standard library does: see `_copied`."""
_decode_plain = msgspec.json.Decoder().decode

encode_sorted = json.JSONEncoder(sort_keys=True).encode
"""Equal values have equal texts, which are stored: the standard library's form of a float stays as it is."""

_SCALARS = frozenset({str, int, bool, type(None)})


def with_a_whole_stack(work: Callable[[_A], _T], argument: _A) -> _T:
    """`work(argument)`, which recurses; in a thread of its own where the caller's stack is too deep for it.

    What one caller appends would else be unreadable to another who calls from deeper down.
    """
    try:
        return work(argument)
    except RecursionError:
        pass
    with ThreadPoolExecutor(max_workers=1) as own:
        return own.submit(work, argument).result()


def decode_text(text: str | bytes) -> object:
    """The value of a JSON text. Raises ValueError, or RecursionError where it is nested too deeply."""
    try:
        return _decode_plain(text)
    except (msgspec.DecodeError, ValueError):
        pass  # outside the handler, so that an error does not hold this one, which has the text
    return json.loads(text)


class Line(NamedTuple):
    """An entry and its JSON: one line of a transcript."""

    entry: dict[str, Any]
    """As it was encoded: a copy that nobody else can change, as `load` will return it."""
    json: bytes
    """In UTF-8, such as JSONB accepts."""
    verbatim: bytes | None
    """JSON in ASCII that reads back exactly, where `json` would not."""


def encode(entry: dict[Any, Any]) -> Line:
    """An entry as JSON. Raises TypeError, ValueError or RecursionError for what is no JSON."""
    plain = _encode_quickly(entry)
    if plain is None:
        return _encode_unusual(entry)
    copy, text, changed = plain
    if rb"\u0000" in text and (storable := _without_nul(text)) != text:
        return Line(copy, storable, _encode_exactly(copy))
    return Line(copy, text, _encode_exactly(copy) if changed else None)


def _encode_unusual(entry: dict[Any, Any]) -> Line:
    """As `encode`, for what msgspec refuses."""
    if find_problem(entry):
        raise ValueError
    text = _encode_any(entry)
    copy, changed = _copied(json.loads(text))
    storable = _without_nul(replace_lone_surrogates(text).encode())
    if changed or storable != text.encode(errors="surrogatepass"):
        exact = _encode_exactly(copy)
        return Line(
            json.loads(exact), storable, exact
        )  # halves of a surrogate pair come back as one character
    return Line(copy, storable, None)


def write(entry: dict[Any, Any]) -> bytes:
    """An entry as JSON text in UTF-8 that reads back exactly.

    Raises TypeError, ValueError or RecursionError for what is no JSON, or holds a lone surrogate.
    """
    if (plain := _encode_quickly(entry)) is not None:
        return plain[1]
    if find_problem(entry):
        raise ValueError
    return _encode_any(entry).encode()


def _encode_quickly(entry: dict[Any, Any]) -> tuple[dict[str, Any], bytes, bool] | None:
    """A copy of an entry, its JSON, and whether JSONB would change a float in it; None for what msgspec
    refuses, or would write as something else."""
    try:
        copy, changed = _copied(entry)
        return copy, encode_plain(copy), changed
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        return None


def _copied(entry: dict[Any, Any]) -> tuple[dict[str, Any], bool]:
    """A copy of an entry that msgspec writes as the standard library does, and whether JSONB would change a
    float in it.

    Without recursion, and quick, since every entry that is appended goes through here: it takes less than to
    decode what was encoded, for what has to be the same although the caller changes its entry meanwhile.

    Raises TypeError where another type than Python's own JSON types stands, which msgspec may write as
    something else, or a key that is not text; ValueError for NaN and infinity, which msgspec writes as null,
    and for what is nested too deeply, which an entry is that holds itself.
    """
    if type(entry) is not dict:
        raise TypeError
    changed = False
    top: dict[str, Any] = entry.copy()
    nodes: list[tuple[Any, Iterable[tuple[Any, Any]], type[Any], int]] = [(top, top.items(), str, 1)]
    while nodes:
        node, members, place_type, depth = nodes.pop()
        if depth > MAX_DEPTH:
            raise ValueError
        for place, child in members:
            if type(place) is not place_type:
                raise TypeError
            kind = type(child)  # pyright: ignore[reportUnknownVariableType] - of any type
            if kind in _SCALARS:
                continue
            if kind is dict:
                node[place] = inner = child.copy()
                nodes.append((inner, inner.items(), str, depth + 1))
            elif kind is list or kind is tuple:
                node[place] = inner = list(child)
                nodes.append((inner, enumerate(inner), int, depth + 1))
            elif kind is float:
                changed = _float_changes(child) or changed
            else:
                raise TypeError
    return top, changed


def _float_changes(value: float) -> bool:
    if not math.isfinite(value):
        raise ValueError
    return "e" in float.__repr__(value) or (value == 0 and math.copysign(1, value) < 0)


def replace_lone_surrogates(text: str) -> str:
    """The nearest text that UTF-8 and JSONB have: a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_nul(text: bytes) -> bytes:
    """The nearest JSON that JSONB accepts: a NUL becomes U+FFFD.

    Meanwhile a raw NUL, which no JSON has, stands for each escaped backslash: after one, `u0000` is text. A
    regular expression that counts backslashes takes twenty times as long for 140 MB.
    """
    return text.replace(rb"\\", b"\0").replace(rb"\u0000", rb"\ufffd").replace(b"\0", rb"\\")


def _encode_exactly(entry: dict[Any, Any]) -> bytes:
    return encode_ascii(entry).encode()
