"""Prices of models: a list of one day that comes with the package, and lists of your own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from boocode_sessions._core.arguments import checked
from boocode_sessions.errors import PriceListError
from boocode_sessions.queries.token_usage import Price

_REQUIRED = tuple(field.name for field in dataclasses.fields(Price) if field.default is dataclasses.MISSING)
_KNOWN = tuple(field.name for field in dataclasses.fields(Price))


@dataclasses.dataclass(frozen=True, slots=True)
class PriceList:
    """A list of prices by model."""

    source: str
    """Where the prices come from: an address, or the path of a file."""
    as_of: date | None
    """The day on which the prices were valid; None if the file does not say it."""
    models: Mapping[str, Price]
    """Prices by a model's name or its beginning. The longest one that matches counts."""


@cache
def list_prices() -> PriceList:
    """Return Anthropic's list prices in US dollars, as they come with this version of the package.

    They are the prices of one day, `as_of`: an older session may have cost something else, and they include
    no agreements of yours. If a price depends on the length of a prompt, it is the one for short prompts. A
    newer model version gets the price of the listed model whose name its own begins with.
    """
    name = "prices.json"
    return _parsed(name, files("boocode_sessions.queries").joinpath(name).read_bytes())


@checked
def read_prices(path: str | Path) -> PriceList:
    """Read a price list of your own from a JSON file. Raises PriceListError, OSError.

    The file maps models to prices, or is an object with `models` and optionally `source` and `as_of`. Prices
    are per million tokens: `input`, `output`, `cache_read`, `cache_write`, and `cache_write_1h` if it is not
    twice the price of input.
    """
    return _parsed(str(path), Path(path).read_bytes())


def _parsed(source: str, text: bytes) -> PriceList:
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise PriceListError(f"{source} is no price list: {_FORM}")
    whole = cast("dict[str, Any]", given)
    models = whole.get("models", whole)
    if not isinstance(models, dict):
        raise PriceListError(f"{source}: `models` is no object: {_FORM}")
    as_of = whole.get("as_of")
    try:
        day = None if as_of is None else date.fromisoformat(as_of)
    except (ValueError, TypeError):
        raise PriceListError(f"{source}: `as_of` is no day such as 2026-11-22") from None
    prices = {name: _price(source, name, of) for name, of in cast("dict[str, Any]", models).items()}
    return PriceList(str(whole.get("source", source)), day, prices)


_FORM = 'write {"model": {"input": 5, "output": 25, "cache_read": 0.5, "cache_write": 6.25}, ...}'


def _price(source: str, model: str, given: object) -> Price:
    if not isinstance(given, dict):
        raise PriceListError(f"{source}: the prices of {model!r} are no object: {_FORM}")
    prices = cast("dict[str, Any]", given)
    if missing := [name for name in _REQUIRED if name not in prices]:
        raise PriceListError(f"{source}: {model!r} lacks {', '.join(missing)}")
    if unknown := [name for name in prices if name not in _KNOWN]:
        raise PriceListError(f"{source}: {model!r} has {unknown[0]!r}; known are {', '.join(_KNOWN)}")
    for name, value in prices.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise PriceListError(f"{source}: {name} of {model!r} is no price")
    return Price(**{name: float(value) for name, value in prices.items()})
