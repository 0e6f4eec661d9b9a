"""The column types that the models share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, DateTime, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from boocode_sessions._core.sql.functions import selected_time

JSON_DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""The column type of entries, which SQL can look into."""

ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""The type of a row's id. SQLite generates values only for a primary key that is an INTEGER."""

WORDS = Text().with_variant(TSVECTOR(), "postgresql")
"""Words and their positions: a tsvector on PostgreSQL, the words in order as text on SQLite."""

WORD_INDEX = "claude_session_words"


def create_word_index(schema: str) -> str:
    """Return the statement that creates SQLite's word index. `schema` is quoted with a dot, or empty."""
    # Diacritics stay on their letters: words are compared as they are.
    return (
        f"CREATE VIRTUAL TABLE {schema}{WORD_INDEX} USING fts5(words, content='claude_session_texts',"
        " content_rowid='id', columnsize=0, tokenize='unicode61 remove_diacritics 0')"
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        # psycopg refuses to read a time if the database's DateStyle is not ISO.
        selected = selected_time(column)
        selected.type = self
        return selected

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if isinstance(value, int):
            return _EPOCH + timedelta(microseconds=value)
        at: datetime = value
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
