"""Explains why an entry is not JSON, without revealing its content."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

MAX_DEPTH = 900
"""Maximum nesting of an entry. Python's json allows 1,000 levels less the stack, SQLite's functions 1,000."""


def problem_in(entry: object) -> str:
    """Say where a refused entry stops being JSON, by positions only, never by its own keys."""
    return find_problem(entry) or " holds what Python's json does not take"


def find_problem(entry: object) -> str | None:
    """Like `problem_in`, for any entry: None if all of it is JSON.

    It doesn't recurse, because it must also find what is nested too deeply.
    """
    path: list[str] = [""]
    walk: list[tuple[object, Iterator[tuple[str, object, object]]]] = []
    above: set[int] = set()
    """The `id()` of each container in `walk`."""
    member: tuple[str, object, object] | None = ("", "", entry)
    while member is not None:
        path[-1], key, value = member
        if (problem := _problem_at(key, value, above)) is not None:
            return "".join(path[:_MAX_PATH]) + (" > ..." if len(path) > _MAX_PATH else "") + problem
        if isinstance(value, dict | list | tuple):
            container = cast("dict[object, object] | Sequence[object]", value)
            walk.append((container, _members(container)))
            above.add(id(container))
            path.append("")
        member = None
        while walk and (member := next(walk[-1][1], None)) is None:
            above.remove(id(walk.pop()[0]))
            path.pop()
    return None


def _problem_at(key: object, value: object, above: set[int]) -> str | None:
    problem: str | None = None
    if not isinstance(key, str):
        problem = f" has a key of type {type(key).__name__}; JSON's keys are text"
    elif isinstance(value, dict | list | tuple):
        if id(cast("object", value)) in above:
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
