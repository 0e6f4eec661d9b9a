"""Lists of rows that display themselves."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterable
from datetime import date, datetime
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Self,
    SupportsIndex,
    TypeVar,
    cast,
    get_type_hints,
    overload,
)

import msgspec

from boocode_sessions._core.attributes import Printer, visible
from boocode_sessions._core.codec import replace_lone_surrogates, with_fresh_stack
from boocode_sessions.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl

T = TypeVar("T")
_R = TypeVar("_R", bound="Rows[Any]")

SHOWN_ROWS = 100
"""Maximum rows of a table in a notebook."""
NAMED_ROWS = 3
"""Maximum rows that `repr` spells out."""


def installed(module: str, feature: str) -> Any:  # noqa: ANN401 - a module
    """Import a library that the caller has to install. Raises MissingExtraError."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, module.partition(".")[0], error.name) from None


class Rows(list[T], Generic[T]):
    """The result of a query: a list of dataclasses that IPython and Jupyter show as a table."""

    hidden: ClassVar[frozenset[str]] = frozenset()
    """Fields that a table leaves out."""

    def __init__(self, row_type: type[T], rows: Iterable[T] = ()) -> None:
        super().__init__(with_fresh_stack(_writable, row) for row in rows)
        self.row_type = row_type

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, at: slice, /) -> Self: ...
    def __getitem__(self, at: SupportsIndex | slice, /) -> T | Self:
        if not isinstance(at, slice):
            return super().__getitem__(at)
        return _again(type(self), self.__dict__, super().__getitem__(at))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.__dict__, list(self))

    def __repr__(self) -> str:
        named = [repr(row) for row in list(self)[:NAMED_ROWS]]
        more = [f"... {len(self) - NAMED_ROWS:,} more"] if len(self) > NAMED_ROWS else []
        return f"[{', '.join(named + more)}]"

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame. Without rows it still has all columns."""
        names = [field.name for field in dataclasses.fields(self.row_type)]  # type: ignore[arg-type]
        columns = {name: [getattr(row, name) for row in self] for name in names}
        frame: pd.DataFrame = installed("pandas", "to_pandas()").DataFrame(columns, columns=names)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars DataFrame with their own types. An entry becomes its JSON text."""
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
        hints = get_type_hints(self.row_type)
        schema = {name: types.get(_kind(hint), library.String) for name, hint in hints.items()}
        texts = {name for name, kind in schema.items() if kind is library.String}
        columns = {name: [_plain(getattr(row, name), name in texts) for row in self] for name in schema}
        frame: pl.DataFrame = library.DataFrame(columns, schema=schema)
        return frame

    def _repr_html_(self) -> str:
        names = self._names()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(_cell(getattr(row, name)) for name in names) + "</tr>"
            for row in list(self)[:SHOWN_ROWS]
        )
        more = f"<p>{len(self) - SHOWN_ROWS:,} more rows</p>" if len(self) > SHOWN_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:  # noqa: ARG002 - IPython's call
        printer.text(self._as_text())

    def _as_text(self, most: int = 20) -> str:
        """Return a table for a terminal."""
        names = self._names()
        lines = [names, *([_short(getattr(row, name)) for name in names] for row in list(self)[:most])]
        widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
        shown = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        more = [f"... {len(self) - most:,} more"] if len(self) > most else []
        return "\n".join(shown + more)

    def _names(self) -> list[str]:
        """Return the fields that a table shows. Those that are None in every row are left out."""
        fields = [field.name for field in dataclasses.fields(self.row_type) if field.name not in self.hidden]  # type: ignore[arg-type]
        return [name for name in fields if not self or any(getattr(row, name) is not None for row in self)]


def _kind(hint: Any) -> str:  # noqa: ANN401 - a type as it is annotated
    """Return the name of the type that a field has when it is not None."""
    text = hint.__name__ if hint in {bool, int, float, str, datetime, date} else str(hint)
    return text.partition(" |")[0].partition("[")[0].rpartition(".")[2]


def _plain(value: object, is_text: bool) -> object:
    return json.dumps(value) if is_text and not isinstance(value, str | None) else value


def _writable(row: T) -> T:
    """Return a row whose texts UTF-8 can encode: lone surrogates, which a line may have, become U+FFFD.

    `entry`, the line itself, stays exact.
    """
    try:
        msgspec.json.encode(row)
    except (ValueError, OverflowError, msgspec.MsgspecError):  # also for a number that only Python can hold
        names = [field.name for field in dataclasses.fields(row) if field.name != "entry"]  # type: ignore[arg-type]
        values: dict[str, Any] = {name: getattr(row, name) for name in names}
        texts = {
            name: json.loads(replace_lone_surrogates(json.dumps(value, ensure_ascii=False)))
            for name, value in values.items()
            if type(value) in {str, list, dict}
        }
        return dataclasses.replace(row, **texts)  # type: ignore[type-var]
    return row


def _again(kind: type[_R], attributes: dict[str, Any], rows: list[Any]) -> _R:
    made = kind.__new__(kind)
    made.__dict__ |= attributes
    made.extend(rows)
    return made


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td style="text-align:right">{_short(value)}</td>'
    return f'<td style="text-align:left">{html.escape(_short(value, 200))}</td>'


def _short(value: object, most: int = 40) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    if isinstance(value, list):
        value = ", ".join(str(one) for one in cast("list[object]", value))
    text = " ".join(visible(str(value)).split())
    return text if len(text) <= most else text[: most - 1] + "…"
