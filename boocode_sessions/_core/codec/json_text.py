"""JSON as text: what Python reads back, and what JSONB accepts of it.

msgspec reads and writes it, in a quarter of the standard library's time. What msgspec refuses is left to the
standard library: lone surrogates, numbers out of its range, and subclasses of Python's own types.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import msgspec

from boocode_sessions._core.codec.problems import MAX_DEPTH, find_problem

_A = TypeVar("_A")
_T = TypeVar("_T")

encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_encode_any = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_plain = msgspec.json.Encoder().encode
_decode_plain = msgspec.json.Decoder().decode


def encode_values(values: str | Iterable[str | int | bool | None]) -> bytes:
    """A text, or an array of plain values, as JSON in UTF-8. None of them holds a lone surrogate."""
    return _encode_plain(values)


encode_sorted = json.JSONEncoder(sort_keys=True).encode
"""Equal values have equal texts, which are stored: the standard library's form of a float stays as it is."""

_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


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


def encode(entry: dict[Any, Any]) -> tuple[bytes, bytes | None]:
    """An entry as JSON that JSONB accepts, and as JSON that reads back exactly, where that is another.

    Both in UTF-8. Raises TypeError, ValueError or RecursionError for what is no JSON.
    """
    plain = _encode_quickly(entry)
    if plain is None:
        return _encode_unusual(entry)
    text, changed = plain
    if b"\\u0000" in text and _ESCAPED_NUL.search(text):
        return _without_nul(text), _encode_exactly(entry)
    return text, _encode_exactly(entry) if changed else None


def _encode_unusual(entry: dict[Any, Any]) -> tuple[bytes, bytes | None]:
    """As `encode`, for what msgspec refuses."""
    if find_problem(entry):
        raise ValueError
    text = _encode_any(entry)
    changed = _floats_change(json.loads(text))
    # A lone surrogate becomes U+FFFD, the nearest character that JSONB accepts.
    storable = _without_nul(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())
    if changed or storable != text.encode(errors="surrogatepass"):
        return storable, _encode_exactly(entry)
    return storable, None


def write(entry: dict[Any, Any]) -> bytes:
    """An entry as JSON text in UTF-8 that reads back exactly.

    Raises TypeError, ValueError or RecursionError for what is no JSON, or holds a lone surrogate.
    """
    if (plain := _encode_quickly(entry)) is not None:
        return plain[0]
    if find_problem(entry):
        raise ValueError
    return _encode_any(entry).encode()


def _encode_quickly(entry: dict[Any, Any]) -> tuple[bytes, bool] | None:
    """An entry as JSON text, and whether JSONB would change a float in it; None for what msgspec refuses, or
    would write as something else."""
    try:
        return _encode_plain(entry), _floats_change(entry)  # which ends: the entry does not hold itself
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        return None


def _floats_change(entry: dict[Any, Any]) -> bool:
    """Whether JSONB would change a float, in an entry that msgspec writes as the standard library does.

    Without recursion, and quick, since it looks at every entry that is appended. Raises TypeError where
    another type than Python's own JSON types stands, which msgspec may write as something else, or a key
    that is not text; ValueError for NaN and infinity, which msgspec writes as null, and for what is nested
    too deeply.
    """
    changed = False
    level: list[Any] = [[entry]]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for node in level:
            children: Iterable[object] = _values(cast("dict[Any, Any]", node)) if type(node) is dict else node
            for child in children:
                kind = type(child)
                if kind in _CONTAINERS:
                    deeper.append(child)
                elif kind is float:
                    changed = _float_changes(cast("float", child)) or changed
                elif kind not in _SCALARS:
                    raise TypeError
        if not deeper:
            return changed
        level = deeper
    raise ValueError


def _values(node: dict[Any, Any]) -> Iterable[Any]:
    for key in node:
        if type(key) is not str:
            raise TypeError
    return node.values()


def _float_changes(value: float) -> bool:
    if not math.isfinite(value):
        raise ValueError
    return "e" in float.__repr__(value) or (value == 0 and math.copysign(1, value) < 0)


def _without_nul(text: bytes) -> bytes:
    """The nearest JSON that JSONB accepts: a NUL becomes U+FFFD."""
    return _ESCAPED_NUL.sub(rb"\1\\ufffd", text)


def _encode_exactly(entry: dict[Any, Any]) -> bytes:
    return encode_ascii(entry).encode()
