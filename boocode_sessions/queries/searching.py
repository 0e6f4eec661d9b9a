"""Where something was said."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Text, func, literal, not_, select

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import SEALED, EncryptionError
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.full_text import (
    columns_of_match,
    conditions_of,
    index_is_there,
    is_message,
    ranked,
)
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope

SNIPPET_CHARS = 160


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """One message that says what was searched for."""

    project_key: str
    session_id: str
    subpath: str
    """`''` for the main transcript."""
    id: int
    uuid: str | None
    type: str
    timestamp: datetime | None
    rank: float
    """The higher the better. 0 on SQLite, which does not rank."""
    snippet: str
    """The place, on one line, with «» around what was found."""


def search(
    bind: Bind,
    words: str,
    *,
    project_key: str | None = None,
    session_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int = 20,
    tz: tzinfo = UTC,
    schema: str | None = None,
) -> Rows[Match]:
    """Messages that say `words`: what people and agents wrote, not tool calls or their results.

    On PostgreSQL: full text in English (`deploy` finds `deployed`; `the` and the like count for nothing),
    best first of the newest 500. `words` may hold "a phrase", `or`, and -without. Of a message the first
    50,000 characters are searched. Quick with the index that `migrations.create_search_index` builds.

    On SQLite: every word, and every "phrase", is to stand in the message as it is, upper or lower case as
    far as ASCII goes; newest first. No index serves that: it reads the whole store.

    Raises EncryptionError where the newest entry is encrypted.
    """
    scope = Scope.of(project_key, session_id, since, until, tz)
    if limit < 1 or not words.strip():
        return Rows(Match)

    def operation(connection: StoreConnection) -> list[Match]:
        _check_readable(connection)
        if connection.dialect == "sqlite":
            return _by_reading(connection, words, conditions_of(scope), limit)
        return _by_index(connection, words, scope, limit)

    return Rows(Match, UnitOfWork(bind, schema).read("search the messages", operation))


def lacks_index(bind: Bind, *, schema: str | None = None) -> bool:
    """Whether `migrations.create_search_index` would make searches quick.

    False on SQLite, which has no such index, and while there is no entry.
    """

    def operation(connection: StoreConnection) -> bool:
        lacking = select(not_(index_is_there())).select_from(Entry).limit(1)
        return connection.dialect != "sqlite" and any(found for (found,) in connection.select(lacking))

    return UnitOfWork(bind, schema).read("look for the index for search", operation)


def _check_readable(connection: StoreConnection) -> None:
    """Raises EncryptionError."""
    begins = func.substr(Entry.verbatim, 1, len(SEALED), type_=Text())
    newest = select(begins).order_by(Entry.id.desc()).limit(1)
    if connection.select(newest).scalar_one_or_none() == SEALED:
        raise EncryptionError("search is off: the store is encrypted, and the database can't read it")


def _by_index(connection: StoreConnection, words: str, scope: Scope, limit: int) -> list[Match]:
    rows = connection.select(ranked(words, scope, limit))
    return [_match([*row[:-1], _one_line(row[-1])]) for row in map(_values, rows)]


def _by_reading(
    connection: StoreConnection, words: str, conditions: list[ColumnElement[bool]], limit: int
) -> list[Match]:
    terms = [phrase or word for phrase, word in re.findall(r'"([^"]+)"|([^\s"]+)', words)]
    if not terms:
        return []
    statement = (
        select(*columns_of_match(), literal(0.0), Entry.text)
        .where(
            is_message(Entry.entry.expression),
            *conditions,
            *(Entry.text.icontains(term, autoescape=True) for term in terms),
        )
        .order_by(Entry.position.desc(), Entry.id.desc())
        .limit(limit)
    )
    rows = map(_values, connection.select(statement))
    return [_match([*row[:-1], _snippet(row[-1], terms)]) for row in rows]


def _snippet(text: str, terms: list[str]) -> str:
    """The place of the first term that is found, with all terms marked."""
    pattern = re.compile("|".join(re.escape(term) for term in terms), re.IGNORECASE)
    found = pattern.search(text)
    start = max(0, (found.start() if found else 0) - SNIPPET_CHARS // 3)
    part = text[start : start + SNIPPET_CHARS]
    marked = pattern.sub(lambda match: f"«{match[0]}»", part)
    return ("… " if start else "") + _one_line(marked) + (" …" if start + SNIPPET_CHARS < len(text) else "")


def _match(values: list[Any]) -> Match:
    return Match(*values)


def _values(row: Iterable[Any]) -> list[Any]:
    return list(row)


def _one_line(text: str) -> str:
    return " ".join(text.split())
