"""Where something was said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, literal, not_, select

from boocode_sessions._core.operations import Tables
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.full_text import Within, columns_of_match, index_is_there, is_message, ranked
from boocode_sessions.queries.scope import moment

SNIPPET_CHARS = 160


class Match(NamedTuple):
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
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    schema: str | None = None,
) -> list[Match]:
    """Messages that say `words`: what people and agents wrote, not tool calls or their results.

    On PostgreSQL: full text in English (`deploy` finds `deployed`; `the` and the like count for nothing),
    best first of the newest 500. `words` may hold "a phrase", `or`, and -without. Of a message the first
    50,000 characters are searched. Quick with the index that `migrations.create_search_index` builds.

    On SQLite: every word, and every "phrase", is to stand in the message as it is, upper or lower case as
    far as ASCII goes; newest first. No index serves that: it reads the whole store.
    """
    moment("since", since)
    moment("until", until)
    if limit < 1 or not words.strip():
        return []
    within = Within(project_key, session_id, since, until)

    def operation(tables: Tables) -> list[Match]:
        if tables.dialect == "sqlite":
            return _by_reading(tables, words, within.conditions(), limit)
        return _by_index(tables, words, within, limit)

    return Transactions(bind, schema).read("search the messages", operation)


def lacks_index(bind: Bind, *, schema: str | None = None) -> bool:
    """Whether `migrations.create_search_index` would make searches quick.

    False on SQLite, which has no such index, and while there is no entry.
    """

    def operation(tables: Tables) -> bool:
        lacking = select(not_(index_is_there())).select_from(Entry).limit(1)
        return tables.dialect != "sqlite" and any(found for (found,) in tables.select(lacking))

    return Transactions(bind, schema).read("look for the index for search", operation)


def _by_index(tables: Tables, words: str, within: Within, limit: int) -> list[Match]:
    rows = tables.select(ranked(words, within, limit))
    return [Match._make([*place, _one_line(headline)]) for *place, headline in map(_values, rows)]


def _by_reading(tables: Tables, words: str, conditions: list[ColumnElement[bool]], limit: int) -> list[Match]:
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
        .order_by(Entry.id.desc())
        .limit(limit)
    )
    rows = map(_values, tables.select(statement))
    return [Match._make([*place, _snippet(text, terms)]) for *place, text in rows]


def _snippet(text: str, terms: list[str]) -> str:
    """The place of the first term that is found, with all terms marked."""
    pattern = re.compile("|".join(re.escape(term) for term in terms), re.IGNORECASE)
    found = pattern.search(text)
    start = max(0, (found.start() if found else 0) - SNIPPET_CHARS // 3)
    part = text[start : start + SNIPPET_CHARS]
    marked = pattern.sub(lambda match: f"«{match[0]}»", part)
    return ("… " if start else "") + _one_line(marked) + (" …" if start + SNIPPET_CHARS < len(text) else "")


def _values(row: Iterable[Any]) -> list[Any]:
    return list(row)


def _one_line(text: str) -> str:
    return " ".join(text.split())
