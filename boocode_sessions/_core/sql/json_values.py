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
    """A function of the value at a path of members in a JSON document.

    In its spellings {0} is the document. On PostgreSQL {1} after it reads the value, and {2} its text. {3} is
    the path on SQLite.
    """

    def __init__(self, document: ColumnElement[Any], *path: str) -> None:
        # A single member has an operator of its own. The general one parses its path for each row.
        arrow, at = ("->", f"'{path[0]}'") if len(path) == 1 else ("#>", f"'{{{','.join(path)}}}'")
        forms = (f"{arrow} {at}", f"{arrow}> {at}", f"'$.{'.'.join(path)}'")
        super().__init__(document, *map(literal_column, forms))


STRING_ON_POSTGRESQL = "CASE jsonb_typeof({0} {1}) WHEN 'string' THEN {0} {2} END"
STRING_ON_SQLITE = "CASE json_type({0}, {3}) WHEN 'text' THEN json_extract({0}, {3}) END"
_IN_LABEL = f"BETWEEN 1 AND {MAX_LABEL_BYTES}"


class json_string(AtPath[Any]):
    """The string at a path; NULL if there is anything else."""

    type = Text()
    postgresql = STRING_ON_POSTGRESQL
    sqlite = STRING_ON_SQLITE


class json_label(AtPath[str]):
    """The string at a path as an extracted column has it; NULL if it is empty or too long."""

    type = Text()
    postgresql = f"CASE WHEN octet_length({STRING_ON_POSTGRESQL}) {_IN_LABEL} THEN {STRING_ON_POSTGRESQL} END"
    sqlite = f"CASE WHEN length(CAST({STRING_ON_SQLITE} AS BLOB)) {_IN_LABEL} THEN {STRING_ON_SQLITE} END"


class json_is_true(AtPath[bool]):
    """True if the value at a path is `true`; never NULL."""

    type = Boolean()
    postgresql = "coalesce({0} {1} = 'true', false)"
    sqlite = "coalesce(json_type({0}, {3}) = 'true', 0)"


class json_count(AtPath[int]):
    """The number at a path, rounded down, from 0 to MAX_COUNT; NULL if there is anything else."""

    type = BigInteger()
    postgresql = (
        "CASE jsonb_typeof({0} {1}) WHEN 'number' THEN"
        f" CAST(floor(least(greatest(CAST({{0}} {{1}} AS NUMERIC), 0), {MAX_COUNT})) AS BIGINT) END"
    )
    # CAST cuts off the fraction, which rounds down, because the number isn't negative.
    sqlite = (
        "CASE WHEN json_type({0}, {3}) IN ('integer', 'real') THEN"
        f" CAST(min(max(json_extract({{0}}, {{3}}), 0), {MAX_COUNT}) AS INTEGER) END"
    )


class json_member(AtPath[str]):
    """A member as text, spelled as in PostgreSQL's index for search."""

    type = Text()
    postgresql = "({0} {2})"
    sqlite = "json_extract({0}, {3})"
