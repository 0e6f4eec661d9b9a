"""SQL functions that PostgreSQL and SQLite spell differently.

Each function is a class. Its arguments are SQL expressions, and its attributes `postgresql` and `sqlite` say
how each database spells it. A new function needs only a class here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar

from sqlalchemy import BigInteger, Boolean, LargeBinary, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_T = TypeVar("_T")

Spelling: TypeAlias = str | Callable[..., str]
"""A format string with {0}, {1} ... for the arguments' SQL, or a function that takes them."""


class SQLFunction(FunctionElement[_T]):
    """The base of these functions. A subclass has a spelling for each database that it supports."""

    postgresql: ClassVar[Spelling]
    sqlite: ClassVar[Spelling]

    def __init_subclass__(cls, **kw: Any) -> None:  # noqa: ANN401 - SQLAlchemy's arguments
        super().__init_subclass__(**kw)
        cls.inherit_cache = True
        for dialect in ("postgresql", "sqlite"):
            if (spelling := cls.__dict__.get(dialect)) is not None:
                compiles(cls, dialect)(_compiler_of(spelling))


def _compiler_of(spelling: Spelling) -> Callable[..., str]:
    spell = spelling.format if isinstance(spelling, str) else spelling

    def compile_(element: SQLFunction[Any], compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
        kw.pop("asfrom", None)
        return str(spell(*(compiler.process(clause, **kw) for clause in element.clauses)))

    return compile_


class statement_clock(SQLFunction[Any]):
    """The storage clock, which stands still within a statement and moves on within a transaction.

    PostgreSQL's clock_timestamp() doesn't stand still, and a distributed database refuses it in an UPDATE.
    Its now() doesn't move on within a transaction.
    """

    postgresql = "statement_timestamp()"
    # Milliseconds, padded to the six digits that SQLAlchemy writes, so that the text sorts by time.
    sqlite = "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class storage_clock(SQLFunction[Any]):
    """The storage clock as a column's default. On PostgreSQL it differs between the rows of one statement."""

    postgresql = "clock_timestamp()"
    sqlite = "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class clock_microseconds(SQLFunction[int]):
    """The storage clock in Unix epoch microseconds. PostgreSQL only: SQLite's has only milliseconds."""

    type = BigInteger()
    postgresql = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"


class later_of(SQLFunction[Any]):
    """The later of two times; if one is NULL, the other."""

    postgresql = "greatest({0}, {1})"
    sqlite = "coalesce(max({0}, {1}), {0}, {1})"


class earlier_of(SQLFunction[Any]):
    """The earlier of two times; if one is NULL, the other."""

    postgresql = "least({0}, {1})"
    sqlite = "coalesce(min({0}, {1}), {0}, {1})"


class greater_text(SQLFunction[Any]):
    """The greater of two texts by their code points; if one is NULL, the other."""

    postgresql = 'greatest({0} COLLATE "C", {1} COLLATE "C")'
    sqlite = "coalesce(max({0}, {1}), {0}, {1})"


class in_json_list(SQLFunction[bool]):
    """True if an integer is in a JSON array of integers, which may have any length."""

    type = Boolean()
    postgresql = (
        "({0} IN (SELECT CAST(item AS BIGINT)"
        " FROM json_array_elements_text(CAST({1} AS JSON)) AS items (item)))"
    )
    sqlite = "({0} IN (SELECT value FROM json_each({1})))"


class json_items(SQLFunction[Any]):
    """A table of the items of a JSON array, which is given as text. Its one column is `value`."""

    postgresql = "json_array_elements(CAST({0} AS JSON))"
    sqlite = "json_each({0})"


class text_item(SQLFunction[str]):
    """The text at an index of a JSON array. The index is a literal."""

    type = Text()
    postgresql = "({0} ->> {1})"
    sqlite = "json_extract({0}, '$[{1}]')"


class json_text(SQLFunction[str]):
    """A JSON column as the text that is stored, bypassing the host's JSON deserializer."""

    type = Text()
    postgresql = "CAST({0} AS TEXT)"
    sqlite = "{0}"


class text_json(SQLFunction[Any]):
    """JSON text as a value for a JSON column, bypassing the host's serializer."""

    postgresql = "CAST({0} AS JSONB)"
    sqlite = "{0}"


class text_time(SQLFunction[Any]):
    """UTC text such as `2026-11-20 10:00:00.123000` as a value for a time column."""

    postgresql = "CAST(({0}) || '+00' AS TIMESTAMP WITH TIME ZONE)"
    sqlite = "{0}"


class hex_bytes(SQLFunction[bytes]):
    """Bytes from hexadecimal text. PostgreSQL only: older SQLite versions have no unhex()."""

    type = LargeBinary()
    postgresql = "decode({0}, 'hex')"


class epoch_ms(SQLFunction[int]):
    """A timestamp as whole Unix epoch milliseconds, rounded down: the contract's `mtime`."""

    type = BigInteger()
    postgresql = "CAST(floor(extract(epoch FROM {0}) * 1000) AS BIGINT)"
    sqlite = "(CAST(strftime('%s', {0}) AS INTEGER) * 1000 + CAST(substr({0}, 21, 3) AS INTEGER))"


class selected_time(SQLFunction[Any]):
    """A time as UTCDateTime selects it: on PostgreSQL epoch microseconds, which no DateStyle changes."""

    postgresql = "CAST(extract(epoch FROM {0}) * 1000000 AS BIGINT)"
    sqlite = "{0}"


class elapsed_time(SQLFunction[Any]):
    """Like selected_time, but immutable, which a distributed database requires in RETURNING. It fails for an
    infinite time. PostgreSQL only."""

    postgresql = "CAST(extract(epoch FROM ({0} - TIMESTAMPTZ '1970-01-01 00:00:00+00')) * 1000000 AS BIGINT)"


class byte_length(SQLFunction[int]):
    """The number of bytes that a text has in UTF-8."""

    type = BigInteger()
    postgresql = "octet_length({0})"
    sqlite = "length(CAST({0} AS BLOB))"
