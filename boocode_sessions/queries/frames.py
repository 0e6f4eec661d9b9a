"""Rows as data frames."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import date, datetime
from importlib import import_module
from typing import Any, get_type_hints

from boocode_sessions.errors import MissingExtraError


def installed(module: str, feature: str) -> Any:  # noqa: ANN401 - a module
    """Import a library that the caller has to install. Raises MissingExtraError."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, module.partition(".")[0], error.name) from None


def to_pandas(row_type: type[Any], rows: Sequence[Any]) -> Any:  # noqa: ANN401 - a pandas.DataFrame
    """Return rows as a pandas DataFrame."""
    library = installed("pandas", "to_pandas()")
    names = [field.name for field in dataclasses.fields(row_type)]
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    return library.DataFrame(columns, columns=names)


def to_polars(row_type: type[Any], rows: Sequence[Any]) -> Any:  # noqa: ANN401 - a polars.DataFrame
    """Return rows as a polars DataFrame."""
    library = installed("polars", "to_polars()")
    types = {
        "bool": library.Boolean,
        "int": library.Int64,
        "float": library.Float64,
        "str": library.String,
        "datetime": library.Datetime("us", "UTC"),
        "date": library.Date,
        "list": library.List(library.String),
    }
    schema = {name: types.get(_kind(hint), library.String) for name, hint in get_type_hints(row_type).items()}
    texts = {name for name, kind in schema.items() if kind is library.String}
    columns = {name: [_plain(getattr(row, name), name in texts) for row in rows] for name in schema}
    return library.DataFrame(columns, schema=schema)


def _kind(hint: Any) -> str:  # noqa: ANN401 - a type as it is annotated
    """Return the name of the type that a field has when it is not None."""
    text = hint.__name__ if hint in {bool, int, float, str, datetime, date} else str(hint)
    return text.partition(" |")[0].partition("[")[0].rpartition(".")[2]


def _plain(value: object, is_text: bool) -> object:
    return json.dumps(value) if is_text and not isinstance(value, str | None) else value
