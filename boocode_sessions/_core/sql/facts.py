"""The facts that are stored beside an entry (`codec.FACTS`), in SQL.

Their times are text, in UTC, which sorts as time does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, literal_column, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from boocode_sessions._core.codec import FACTS, TOKENS
from boocode_sessions._core.sql.functions import UTCDateTime


class fact(FunctionElement[Any]):  # noqa: N801 - used as the SQL function it stands for
    """One of the facts, by its name; NULL where the line has none such. Tokens only of an answer."""

    inherit_cache = True

    def __init__(self, facts: ColumnElement[Any], name: str) -> None:
        self.type: TypeEngine[Any] = Text()
        if name in TOKENS:
            self.type = BigInteger()
        elif name == "failed":
            self.type = Integer()
        super().__init__(facts, literal_column(str(FACTS.index(name)), Integer))


@compiles(fact, "postgresql")
def _fact_on_postgresql(element: fact, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    facts, index = (compiler.process(clause, **kw) for clause in element.clauses)
    if isinstance(element.type, BigInteger):
        return f"CAST({facts} -> {index} AS BIGINT)"  # from JSON's number, without the text between
    if isinstance(element.type, Integer):
        return f"CAST(CAST({facts} ->> {index} AS BOOLEAN) AS INTEGER)"
    return f"({facts} ->> {index})"


@compiles(fact, "sqlite")
def _fact_on_sqlite(element: fact, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    facts, index = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({facts}, '$[{index}]')"


def has_facts(facts: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a line is an answer or a tool's result whose facts are stored: those that the index holds."""
    return or_(fact(facts, "call").is_not(None), fact(facts, "use").is_not(None))


class time_text(FunctionElement[str]):  # noqa: N801 - used as the SQL function it stands for
    """A time in the form of the fact `at`."""

    type = Text()
    inherit_cache = True


@compiles(time_text, "postgresql")
def _time_text_on_postgresql(element: time_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    at = compiler.process(element.clauses, **kw)
    return f"to_char({at} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"


@compiles(time_text, "sqlite")
def _time_text_on_sqlite(element: time_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return compiler.process(element.clauses, **kw)


class text_time(FunctionElement[datetime]):  # noqa: N801 - used as the SQL function it stands for
    """The time that a text in the form of the fact `at` says."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(text_time, "postgresql")
def _text_time_on_postgresql(element: text_time, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"CAST(({compiler.process(element.clauses, **kw)}) || 'Z' AS TIMESTAMP WITH TIME ZONE)"


@compiles(text_time, "sqlite")
def _text_time_on_sqlite(element: text_time, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return compiler.process(element.clauses, **kw)
