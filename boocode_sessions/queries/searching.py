"""Where something was said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Select, Text, cast, func, literal, literal_column, select, union

from boocode_sessions.columns import json_member, message_text, search_vector
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.operations import Tables
from boocode_sessions.queries.scope import moment, said_at, within
from boocode_sessions.transactions import Bind, Transactions

RANKED = 500
"""How many matches, the newest, are compared for the best."""
FREQUENT = 2000
"""How many matches the index is asked for."""
RECENT = 20_000
"""How many of the newest entries are read for a word that has as many matches as that."""
SNIPPET_CHARS = 160

_HEADLINE = 'StartSel="«", StopSel="»", MaxFragments=2, MinWords=8, MaxWords=20, ShortWord=0'
_READ_CHARS = 200_000


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
    conditions: list[ColumnElement[bool]] = [*within(said_at(), since, until)]
    if project_key is not None:
        conditions.append(Entry.project_key == project_key)
    if session_id is not None:
        conditions.append(Entry.session_id == session_id)

    def operation(tables: Tables) -> list[Match]:
        if tables.dialect == "sqlite":
            return _by_reading(tables, words, conditions, limit)
        return _by_index(tables, words, conditions, limit)

    return Transactions(bind, schema).read("search the messages", operation)


def _is_message(entry: ColumnElement[Any]) -> ColumnElement[bool]:
    # Literals: with parameters a prepared statement could not use a partial index.
    return json_member(entry, "type").in_([literal_column("'user'"), literal_column("'assistant'")])


def _by_index(tables: Tables, words: str, conditions: list[ColumnElement[bool]], limit: int) -> list[Match]:
    rows = tables.select(_ranked(words, conditions, limit))
    return [Match._make([*place, _one_line(headline)]) for *place, headline in map(_values, rows)]


def _ranked(words: str, conditions: list[ColumnElement[bool]], limit: int) -> Select[*tuple[Any, ...]]:
    """Served by: claude_session_entries_search_idx.

    Of a frequent word the index can't tell the newest matches without visiting all: it gives some, and the
    newest entries are read for the others.
    """
    vector = search_vector(Entry.entry.expression)
    query = func.websearch_to_tsquery(literal_column("'english'"), words)
    indexed = (
        select(Entry.id)
        .where(_is_message(Entry.entry.expression), vector.op("@@")(query), *conditions)
        .limit(FREQUENT)
        .cte("indexed")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # With a limit of its own PostgreSQL can't mix it with the conditions outside: no index is searched again.
    last = (
        select(Entry.id, Entry.entry)
        .where(*conditions)
        .order_by(Entry.id.desc())
        .limit(RECENT)
        .subquery("last")
    )
    many = select(func.count()).select_from(indexed).scalar_subquery() == FREQUENT
    says_it = search_vector(last.c.entry).op("@@")(query)
    recent = select(last.c.id).where(many, _is_message(last.c.entry), says_it)
    matched = union(select(indexed.c.id), recent).subquery("matched")
    newest = select(matched.c.id).order_by(matched.c.id.desc()).limit(RANKED).subquery("newest")
    rank = cast(func.ts_rank_cd(vector, query, 1), Float)
    best = (
        select(Entry.id, rank.label("rank"))
        .join_from(newest, Entry, Entry.id == newest.c.id)
        .order_by(rank.desc(), Entry.id.desc())
        .limit(limit)
        .subquery("best")
    )
    text = func.left(message_text(Entry.entry.expression), _READ_CHARS)
    headline = func.ts_headline(literal_column("'english'"), text, query, _HEADLINE, type_=Text())
    return (
        select(
            Entry.project_key,
            Entry.session_id,
            Entry.subpath,
            Entry.id,
            Entry.uuid,
            Entry.type,
            Entry.timestamp,
            best.c.rank,
            headline,
        )
        .join_from(best, Entry, Entry.id == best.c.id)
        .order_by(best.c.rank.desc(), best.c.id.desc())
    )


def _by_reading(tables: Tables, words: str, conditions: list[ColumnElement[bool]], limit: int) -> list[Match]:
    terms = [phrase or word for phrase, word in re.findall(r'"([^"]+)"|([^\s"]+)', words)]
    if not terms:
        return []
    statement = (
        select(
            Entry.project_key,
            Entry.session_id,
            Entry.subpath,
            Entry.id,
            Entry.uuid,
            Entry.type,
            Entry.timestamp,
            literal(0.0),
            Entry.text,
        )
        .where(
            _is_message(Entry.entry.expression),
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
