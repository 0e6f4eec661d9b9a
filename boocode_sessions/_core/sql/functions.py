"""What PostgreSQL and SQLite spell differently: the types and functions that models and statements share."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz on PostgreSQL, text on SQLite, which has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone: give datetime.now(UTC) or the like")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class storage_clock(FunctionElement[datetime]):  # noqa: N801 - named as the SQL function it is
    """The database's clock, when the row is written: `now()` would be the transaction's start."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(storage_clock, "postgresql")
def _clock_on_postgresql(element: storage_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001 - SQLAlchemy's signature
    return "clock_timestamp()"


@compiles(storage_clock, "sqlite")
def _clock_on_sqlite(element: storage_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401, ARG001 - SQLAlchemy's signature
    # Milliseconds, padded to the six digits in which SQLAlchemy writes a datetime: text then sorts as time.
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class json_text(FunctionElement[str]):  # noqa: N801 - named as the SQL function it stands for
    """A JSON column as the text that is stored: the host's JSON deserializer has no say in it."""

    type = Text()
    inherit_cache = True


@compiles(json_text, "postgresql")
def _json_text_on_postgresql(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"CAST({compiler.process(element.clauses, **kw)} AS TEXT)"


@compiles(json_text, "sqlite")
def _json_text_on_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return str(compiler.process(element.clauses, **kw))


class text_json(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """Text that is JSON already, as a JSON column takes it: the host's serializer has no say in it."""

    inherit_cache = True


@compiles(text_json, "postgresql")
def _text_json_on_postgresql(element: text_json, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"CAST({compiler.process(element.clauses, **kw)} AS JSONB)"


@compiles(text_json, "sqlite")
def _text_json_on_sqlite(element: text_json, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return str(compiler.process(element.clauses, **kw))


class epoch_ms(FunctionElement[int]):  # noqa: N801 - named as the SQL function it stands for
    """A timestamp as whole Unix epoch milliseconds, rounded down: the contract's `mtime`."""

    type = BigInteger()
    inherit_cache = True


@compiles(epoch_ms, "postgresql")
def _epoch_ms_on_postgresql(element: epoch_ms, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **kw)}) * 1000) AS BIGINT)"


@compiles(epoch_ms, "sqlite")
def _epoch_ms_on_sqlite(element: epoch_ms, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    at = compiler.process(element.clauses, **kw)
    return f"(CAST(strftime('%s', {at}) AS INTEGER) * 1000 + CAST(substr({at}, 21, 3) AS INTEGER))"
