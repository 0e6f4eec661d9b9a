"""Editors and documentation tools can read the parameters and errors of every public name."""

import builtins
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from operator import attrgetter
from types import FunctionType, ModuleType

import pytest

import boocode_sessions
from boocode_sessions import errors
from boocode_sessions.agents import errors as agent_errors

FEW = 2
"""The summary line can describe so few parameters."""


def public_modules() -> Iterator[ModuleType]:
    """Yield the package and its modules and subpackages without underscore.

    The command line is left out: typer reads its parameters from their annotations.
    """
    yield boocode_sessions
    for _, name, _ in pkgutil.iter_modules(boocode_sessions.__path__):
        if not name.startswith("_") and name != "cli":
            yield importlib.import_module(f"boocode_sessions.{name}")


def public_things(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the public functions, classes and methods of a module with their full names."""
    own = [name for name, value in vars(module).items() if _module_of(value) == module.__name__]
    for name in getattr(module, "__all__", own):
        thing = getattr(module, name)
        if name.startswith("_") or not (inspect.ismodule(thing) or _is_ours(thing)):
            continue
        if inspect.ismodule(thing):
            yield from public_things(thing)
        elif inspect.isclass(thing) or inspect.isfunction(thing):
            yield f"{thing.__module__}.{name}", thing
        if inspect.isclass(thing):
            yield from _methods(thing)


def _methods(cls: type) -> Iterator[tuple[str, object]]:
    for base in filter(_is_ours, cls.__mro__):
        for name, value in vars(base).items():
            method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if isinstance(method, FunctionType) and not name.startswith("_"):
                yield f"{base.__module__}.{method.__qualname__}", method


def _module_of(thing: object) -> str:
    return getattr(thing, "__module__", None) or ""


def _is_ours(thing: object) -> bool:
    return _module_of(thing).startswith("boocode_sessions")


def parameters_of(thing: object) -> set[str]:
    """Return the parameters of a function, or of the `__init__` that a class has written itself."""
    called = vars(thing).get("__init__") if inspect.isclass(thing) else thing
    if not isinstance(called, FunctionType) or not _is_ours(called) or is_dataclass(thing):
        return set()
    return inspect.signature(called).parameters.keys() - {"self", "cls"}


def section(thing: object, title: str) -> dict[str, str]:
    """Read a Google-style section: a title after an empty line, and indented `name: text` items below it."""
    found = re.search(rf"(?:\A|\n\n){title}:\n((?:    .*\n|\n(?=    ))+)", _doc(thing))
    return dict(re.findall(r"^    (\S[^:\n]*): +(\S.*)", found[1] if found else "", re.MULTILINE))


def _doc(thing: object) -> str:
    return inspect.cleandoc(thing.__doc__ or "") + "\n"


def documented(thing: object) -> set[str]:
    """Return the parameters that the Args section documents, or that of the thing that this one is `Like`."""
    names = {name.lstrip("*") for name in section(thing, "Args")}
    if like := re.match(r"Like `?([\w.]+\w)`?", _doc(thing)):
        for name, other in THINGS.items():
            if name.endswith(f".{like[1]}"):
                names |= documented(other) & parameters_of(thing)
    return names


THINGS = {name: thing for module in public_modules() for name, thing in public_things(module)}


@pytest.mark.parametrize("name", THINGS)
def test_a_parameter_among_many_is_documented(name: str) -> None:
    parameters, known = parameters_of(THINGS[name]), documented(THINGS[name])
    assert known == parameters or (len(parameters) <= FEW and known <= parameters)


@pytest.mark.parametrize("name", THINGS)
def test_a_documented_error_exists(name: str) -> None:
    thing = THINGS[name]
    for error in {*section(thing, "Raises"), *re.findall(r"\b[A-Z]\w+Error\b", _doc(thing))}:
        found = [_found(error, place) for place in (inspect.getmodule(thing), errors, agent_errors, builtins)]
        assert any(inspect.isclass(one) and issubclass(one, Exception) for one in found), error


def _found(name: str, place: object) -> object:
    with suppress(AttributeError):
        return attrgetter(name)(place)
    return None
