"""SQL functions that read one value from an entry's JSON.

Each gives the same value on both databases, and NULL instead of an error if an entry has another form: one
odd line must not break a query over all of them.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import BigInteger, Boolean, ColumnElement, Text, literal_column

from boocode_sessions._core.sql.functions import SQLFunction

_T = TypeVar("_T")

MAX_COUNT = 2_147_483_647
"""The largest number that a count is read as: the largest value of an integer column."""
MAX_LABEL_BYTES = 128
"""Maximum bytes of a label, such as an id or a model's name."""


class AtPath(SQLFunction[_T]):
    """A function of the value at a path of members in a JSON document."""

    def __init__(self, document: ColumnElement[Any], *path: str) -> None:
        super().__init__(document, *map(literal_column, path))


def string_on_postgresql(document: str, *path: str) -> str:
    """Return the SQL of `json_string`."""
    # A single member has an operator of its own. The general one parses its path for each row.
    arrow, at = ("->", f"'{path[0]}'") if len(path) == 1 else ("#>", _path(path))
    return f"CASE jsonb_typeof({document} {arrow} {at}) WHEN 'string' THEN {document} {arrow}> {at} END"


def string_on_sqlite(document: str, *path: str) -> str:
    """Return the SQL of `json_string`."""
    at = f"'$.{'.'.join(path)}'"
    return f"CASE json_type({document}, {at}) WHEN 'text' THEN json_extract({document}, {at}) END"


def _label_on_postgresql(document: str, *path: str) -> str:
    said = string_on_postgresql(document, *path)
    return f"CASE WHEN octet_length({said}) BETWEEN 1 AND {MAX_LABEL_BYTES} THEN {said} END"


def _label_on_sqlite(document: str, *path: str) -> str:
    said = string_on_sqlite(document, *path)
    return f"CASE WHEN length(CAST({said} AS BLOB)) BETWEEN 1 AND {MAX_LABEL_BYTES} THEN {said} END"


def _is_true_on_postgresql(document: str, *path: str) -> str:
    return f"coalesce({document} #> {_path(path)} = 'true', false)"


def _is_true_on_sqlite(document: str, *path: str) -> str:
    return f"coalesce(json_type({document}, '$.{'.'.join(path)}') = 'true', 0)"


def _count_on_postgresql(document: str, *path: str) -> str:
    at = f"{document} #> {_path(path)}"
    number = f"floor(least(greatest(CAST({at} AS NUMERIC), 0), {MAX_COUNT}))"
    return f"CASE jsonb_typeof({at}) WHEN 'number' THEN CAST({number} AS BIGINT) END"


def _count_on_sqlite(document: str, *path: str) -> str:
    at = f"{document}, '$.{'.'.join(path)}'"
    # CAST cuts off the fraction, which rounds down, because the number isn't negative.
    number = f"CAST(min(max(json_extract({at}), 0), {MAX_COUNT}) AS INTEGER)"
    return f"CASE WHEN json_type({at}) IN ('integer', 'real') THEN {number} END"


def _path(path: tuple[str, ...]) -> str:
    return f"'{{{','.join(path)}}}'"


class json_string(AtPath[Any]):
    """The string at a path; NULL if there is anything else."""

    type = Text()
    postgresql = string_on_postgresql
    sqlite = string_on_sqlite


class json_label(AtPath[str]):
    """The string at a path as an extracted column has it; NULL if it is empty or too long."""

    type = Text()
    postgresql = _label_on_postgresql
    sqlite = _label_on_sqlite


class json_is_true(AtPath[bool]):
    """True if the value at a path is `true`; never NULL."""

    type = Boolean()
    postgresql = _is_true_on_postgresql
    sqlite = _is_true_on_sqlite


class json_count(AtPath[int]):
    """The number at a path, rounded down, from 0 to MAX_COUNT; NULL if there is anything else."""

    type = BigInteger()
    postgresql = _count_on_postgresql
    sqlite = _count_on_sqlite


class json_member(AtPath[str]):
    """A member as text, spelled as in PostgreSQL's index for search."""

    type = Text()
    postgresql = "({0} ->> '{1}')"
    sqlite = "json_extract({0}, '$.{1}')"
