"""What is wrong with an entry that is no JSON, in words that tell nothing of its content."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

from boocode_sessions._core.codec.json_text import MAX_DEPTH


def problem_in(entry: object) -> str:
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
