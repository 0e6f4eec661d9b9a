"""JSON as text: what Python reads back, and what JSONB accepts of it.

msgspec reads and writes JSON in a quarter of the standard library's time. The standard library handles what
msgspec refuses: lone surrogates, numbers out of its range, and subclasses of Python's own types.
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
"""Encodes values as UTF-8 JSON. Only for values that both libraries write the same way: see `_copied`."""
_decode_plain = msgspec.json.Decoder().decode

encode_sorted = json.JSONEncoder(sort_keys=True).encode
"""Encodes equal values as equal texts. Stored keys are hashes of these texts, so floats must keep the
standard library's form."""

_SCALARS = frozenset({str, int, bool, type(None)})


def with_fresh_stack(work: Callable[[_A], _T], argument: _A) -> _T:
    """Return `work(argument)`, which recurses. If the caller's stack is too deep for it, use a new thread.

    Otherwise one caller could append an entry that another, deeper in its stack, can't read.
    """
    try:
        return work(argument)
    except RecursionError:
        pass
    with ThreadPoolExecutor(max_workers=1) as own:
        return own.submit(work, argument).result()


def decode_text(text: str | bytes) -> object:
    """Decode a JSON text. Raises ValueError, or RecursionError if it is nested too deeply."""
    try:
        return _decode_plain(text)
    except (msgspec.DecodeError, ValueError):
        pass  # The next error is raised outside the handler: this one holds the text and must not be chained.
    return json.loads(text)


class Line(NamedTuple):
    """An entry and its JSON: one line of a transcript."""

    entry: dict[str, Any]
    """A copy of what was encoded, as `load` will return it. Nobody else can change it."""
    json: bytes
    """UTF-8 JSON that JSONB accepts."""
    verbatim: bytes | None
    """ASCII JSON that reads back exactly; None if `json` does too."""


def encode(entry: dict[Any, Any]) -> Line:
    """Encode an entry as JSON. Raises TypeError, ValueError or RecursionError if that is impossible."""
    plain = _encode_quickly(entry)
    if plain is None:
        return _encode_unusual(entry)
    copy, text, changed = plain
    if rb"\u0000" in text and (storable := _without_nul(text)) != text:
        return Line(copy, storable, _encode_exactly(copy))
    return Line(copy, text, _encode_exactly(copy) if changed else None)


def _encode_unusual(entry: dict[Any, Any]) -> Line:
    """Like `encode`, for entries that msgspec refuses."""
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
    """Encode an entry as UTF-8 JSON that reads back exactly.

    Raises TypeError, ValueError or RecursionError if that is impossible, as with a lone surrogate.
    """
    if (plain := _encode_quickly(entry)) is not None:
        return plain[1]
    if find_problem(entry):
        raise ValueError
    return _encode_any(entry).encode()


def _encode_quickly(entry: dict[Any, Any]) -> tuple[dict[str, Any], bytes, bool] | None:
    """Return a copy of an entry, its JSON, and whether JSONB would change a float in it.

    Return None if msgspec refuses the entry or might write it as something else.
    """
    try:
        copy, changed = _copied(entry)
        return copy, encode_plain(copy), changed
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        return None


def _copied(entry: dict[Any, Any]) -> tuple[dict[str, Any], bool]:
    """Return a copy of an entry that msgspec writes as the standard library does, and whether JSONB would
    change a float in it.

    The copy stays the same if the caller changes its entry meanwhile. It is made quickly and without
    recursion, because every appended entry passes through here. Decoding the encoded JSON would take longer.

    Raises TypeError for a key that is not text, and for types other than Python's own JSON types, which
    msgspec may write as something else. Raises ValueError for NaN and infinity, which msgspec writes as null,
    and for entries nested too deeply, including those that contain themselves.
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
            kind = type(child)  # pyright: ignore[reportUnknownVariableType] - any type is possible
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
    """Return the nearest text that UTF-8 and JSONB can hold: a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_nul(text: bytes) -> bytes:
    """Return the nearest JSON that JSONB accepts: a NUL becomes U+FFFD.

    A raw NUL, which JSON never contains, stands in for each escaped backslash, because `u0000` after an
    escaped backslash is plain text. A regular expression that counts backslashes takes twenty times as long
    for 140 MB.
    """
    return text.replace(rb"\\", b"\0").replace(rb"\u0000", rb"\ufffd").replace(b"\0", rb"\\")


def _encode_exactly(entry: dict[Any, Any]) -> bytes:
    return encode_ascii(entry).encode()
