"""The columns of an entry that appends and imports fill, and how their values are sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, cast, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from boocode_sessions._core.codec import Extracted
from boocode_sessions._core.sql.functions import hex_bytes, text_json, text_time
from boocode_sessions._core.statements.parameters import ENTRIES, table_name

COLUMNS: dict[str, TypeEngine[Any]] = {
    **{name: ENTRIES.c[name].type for name in ("dedup_key", "entry", "verbatim", "size", *Extracted._fields)},
    "entry": Text(),
    "said_at": Text(),
}
"""The columns of an encoded entry, in the order of `EncodedEntry.row`, and the types they are sent as."""
INSERTED = ("project_key", "session_id", "subpath", "position", "created_at", "is_first", *COLUMNS)
"""The columns that an insert fills."""


def inserted_into(dialect: Dialect, schema: str | None) -> tuple[str, str]:
    """Return the table of entries and the columns of INSERTED, as SQL text."""
    columns = ", ".join(map(dialect.identifier_preparer.quote, INSERTED))
    return table_name(ENTRIES.name, dialect, schema), columns


def from_parameters(spelling: str) -> dict[str, ColumnElement[Any]]:
    """Return COLUMNS as parameters. `spelling` is a parameter's name, with {} for the column's."""
    values: dict[str, ColumnElement[Any]] = {
        name: bindparam(spelling.format(name), type_=kind) for name, kind in COLUMNS.items()
    }
    return {**values, "entry": text_json(values["entry"]), "said_at": text_time(values["said_at"])}


def from_json(value: ColumnElement[Any], place: int, name: str) -> ColumnElement[Any]:
    """Return a member of one of the arrays in `entries`, converted for its column."""
    at: ColumnElement[int] = literal_column(str(place))
    if name == "entry":
        return value.op("->", return_type=JSONB())(at)
    text: ColumnElement[Any] = value.op("->>", return_type=Text())(at)
    if name == "dedup_key":
        return hex_bytes(text)
    if name == "said_at":
        return text_time(text)
    kind = COLUMNS[name]
    return text if isinstance(kind, Text) else cast(text, kind)
