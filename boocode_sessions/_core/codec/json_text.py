"""JSON as text: what Python reads back, and what JSONB accepts of it."""

import json
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

_A = TypeVar("_A")
_T = TypeVar("_T")

encode_utf8 = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode

encode_sorted = json.JSONEncoder(sort_keys=True).encode

_PLAIN = frozenset({str, int, bool, type(None)})
_ARRAYS = (list, tuple)

MAX_DEPTH = 900
"""Most levels that an entry may nest. Python's json reads 1,000 less the stack, SQLite's functions 1,000."""

_PIECE = (400, 1400)
"""Of an entry's text: behind what an entry begins with, which is ASCII."""
_MANY_ESCAPES = 40
"""Of six characters each, in the piece."""

_PERHAPS_NOT_UNICODE = re.compile(r"\\u(?:0000|d)")
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


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


def encode(entry: dict[Any, Any]) -> tuple[str, str | None]:
    """An entry as JSON that JSONB accepts, and as JSON that reads back exactly, where that is another."""
    exact = encode_ascii(entry)
    changed = _numbers_change(entry)
    # ASCII is written and sent in three quarters of the time of UTF-8, and is about as long, but for text in
    # another script: which it is, a piece of it tells.
    text, storable = exact, True
    if "\\u" in exact and (_PERHAPS_NOT_UNICODE.search(exact) or exact.count("\\u", *_PIECE) > _MANY_ESCAPES):
        text = encode_utf8(entry)
        storable = _is_unicode(text)
    if storable and not changed:
        return text, None
    return (text if storable else _storable(text)), exact


def _is_unicode(text: str) -> bool:
    """Whether a JSON text has neither a NUL nor a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not _ESCAPED_NUL.search(text)


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
