"""Refuses an argument of a wrong type before anything is done, because in a shell no type checker would.

Otherwise the argument would fail somewhere inside, or have another effect: `overwrite="no"` is true.
"""

import functools
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta, tzinfo
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from boocode_sessions._core.codec import Cipher

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CHECKED_ELSEWHERE = {"bind", "engine", "key", "session", "tenant"}
"""Parameters that are checked where they are used, with errors that say more."""

_TYPE_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "a bool",
    types.NoneType: "None",
    bytes: "bytes",
    os.PathLike: "a path",
    date: "a datetime, a date",
    timedelta: "a timedelta such as timedelta(days=30)",
    tzinfo: "a tzinfo such as ZoneInfo('Europe/Vienna')",
    Callable: "a function",
    Iterable: "a list",
    Mapping: "a dict",
    Sequence: "a list",
    Cipher: "a privacy.Encryption",
}
_ACCEPTED: dict[Any, Any] = {float: (int, float), Sequence: (Iterable,)}
"""Types that accept more than their own instances."""


def checked(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a function check its arguments against their annotations, but not a list's items (TypeError)."""
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.kind is not one.VAR_POSITIONAL]
    # Evaluated at the first call, so that importing the package evaluates no annotations.
    wanted = functools.cache(lambda: {name: _kinds(hint) for name, hint in get_type_hints(function).items()})

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for name, given in (dict(zip(names, args, strict=False)) | kwargs).items():
            kinds = wanted().get(name)
            if kinds and name not in _CHECKED_ELSEWHERE and not isinstance(given, tuple(kinds)):
                *others, last = dict.fromkeys(kinds.values())
                known = f"{', '.join(others)} or {last}" if others else last
                raise TypeError(f"{name} is {known}, not {type(given).__name__}")
        return function(*args, **kwargs)

    return call


def _kinds(hint: Any) -> dict[Any, str]:  # noqa: ANN401 - an annotation
    """Return the classes that an annotation accepts, each with its name for messages."""
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return {kind: called for part in get_args(hint) for kind, called in _kinds(part).items()}
    if origin is Literal:
        return {type(value): _TYPE_NAMES[type(value)] for value in get_args(hint)}
    kind = origin or hint
    called = _TYPE_NAMES.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
    return dict.fromkeys(_ACCEPTED.get(kind, (kind,)), called)


def check_at_least(least: int, **given: float | None) -> None:
    """Raise ValueError for a number below `least`."""
    for name, number in given.items():
        if number is not None and not number >= least:  # NaN is neither
            raise ValueError(f"{name} is {least} or more, not {number}")
