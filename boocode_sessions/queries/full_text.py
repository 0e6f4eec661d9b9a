"""The statement of a search on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    not_,
    or_,
    select,
    table,
    true,
    union,
    union_all,
)

from boocode_sessions._core.sql.json_values import json_member
from boocode_sessions._core.sql.messages import message_text
from boocode_sessions._core.sql.search import search_vector
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import placed, unplaced
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import Scope, unplaced_said_at, unplaced_type

RANKED = 500
"""How many matches, the newest, are compared for the best."""
FREQUENT = 2000
"""How many matches, anywhere, make a word a frequent one."""
VISITED = 25_000
"""How many matches of a frequent word the index is asked for."""
RECENT = 20_000
"""How many of the newest entries are read for a word that has more matches than that."""
RECENT_FOR_PHRASES = 50_000
"""And for a frequent phrase in a project or a stretch of time."""

NEAR = 1000
"""How many ids before and after the answers of a stretch of time the prompts of that time may have."""


_HEADLINE = 'StartSel="«", StopSel="»", MaxFragments=2, MinWords=8, MaxWords=20, ShortWord=0'
_READ_CHARS = 200_000


def conditions_of(scope: Scope) -> list[ColumnElement[bool]]:
    """What the question says of an entry, exactly."""
    said_at = case((unplaced(), unplaced_said_at()), else_=Entry.said_at)
    at = func.coalesce(said_at, Entry.created_at, type_=UTCDateTime())
    return [*scope.said(at), *scope.key()]


def ranked(words: str, scope: Scope, limit: int) -> Select[*tuple[Any, ...]]:
    """Served by: claude_session_entries_search_idx, and by the indexes of `_newest`.

    The index knows no order and no project: it visits each match. That is quick up to VISITED of them, and
    takes seconds for a word that a third of all messages says. Of such a word the newest messages of what
    was asked for are read instead, and the index is asked only when these were not enough. For a phrase it
    visits each message that has the words, and is not asked again: more messages are read. Where there is
    no index, each message of what was asked for is read.
    """
    vector = search_vector(Entry.entry.expression)
    query = func.websearch_to_tsquery(literal_column("'english'"), words)
    says_it = [is_message(Entry.entry.expression), vector.op("@@")(query)]
    conditions = conditions_of(scope)
    only_words = all(part.lstrip("-").isalnum() for part in words.split())
    read = RECENT_FOR_PHRASES if conditions and not only_words else RECENT
    indexed = index_is_there()
    narrow = select(Entry.id).where(*says_it, *conditions).limit(FREQUENT)
    found: Select[int] = narrow
    if scope.session_id is None and conditions:  # in one session PostgreSQL finds the quicker way
        wide = select(Entry.id).where(indexed, *says_it).limit(FREQUENT)
        either = union_all(select(wide.subquery()), select(narrow.where(not_(indexed)).subquery()))
        found = select(either.subquery("either").c.id)
    some = found.cte("some").prefix_with("MATERIALIZED", dialect="postgresql")
    frequent = _count(some) == FREQUENT
    dense = and_(frequent, or_(not_(indexed), _close(some))) if only_words else frequent
    newest = _newest(scope, read).subquery("newest")
    # A subquery of its own: read one by one, until there are enough.
    one = select(Entry.id, Entry.entry).where(Entry.id == newest.c.id).limit(1).lateral("one")
    recent = (
        select(one.c.id)
        .select_from(newest.join(one, true()))
        .where(dense, is_message(one.c.entry), search_vector(one.c.entry).op("@@")(query))
        .order_by(newest.c.place.desc())
        .limit(RANKED)
        .cte("recent")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    first = select(Entry.id).where(Entry.id.in_(select(some.c.id)), *conditions)
    if only_words:
        all_read = _count(_newest(scope, read).subquery("read")) < read
        enough = and_(dense, or_(_count(recent) == RANKED, all_read))
        rest = select(Entry.id).where(indexed, frequent, not_(enough), *says_it, *conditions).limit(VISITED)
        parts = [
            first.where(or_(not_(frequent), not_(indexed))),
            select(recent.c.id),
            select(rest.subquery("rest")),
        ]
    else:
        parts = [first, select(recent.c.id)]
    matched = union(*parts).subquery("matched")
    compared = select(matched.c.id).order_by(matched.c.id.desc()).limit(RANKED).subquery("compared")
    rank = cast(func.ts_rank_cd(vector, query, 1), Float)
    best = (
        select(Entry.id, rank.label("rank"))
        .join_from(compared, Entry, Entry.id == compared.c.id)
        .order_by(rank.desc(), Entry.id.desc())
        .limit(limit)
        .subquery("best")
    )
    text = func.left(message_text(Entry.entry.expression), _READ_CHARS)
    headline = func.ts_headline(literal_column("'english'"), text, query, _HEADLINE, type_=Text())
    return (
        select(*columns_of_match(), best.c.rank, headline)
        .join_from(best, Entry, Entry.id == best.c.id)
        .order_by(best.c.rank.desc(), best.c.id.desc())
    )


def columns_of_match() -> tuple[Any, ...]:
    """What names a match: the first columns of a `Match`."""
    return (
        Entry.project_key,
        Entry.session_id,
        Entry.subpath,
        Entry.id,
        Entry.uuid,
        func.coalesce(Entry.type, unplaced_type()),
        Entry.timestamp,
    )


def index_is_there() -> ColumnElement[bool]:
    """Known to the server when the statement runs, so that a search stays one statement."""
    ours = select(literal_column("tableoid", Integer())).select_from(Entry).limit(1).scalar_subquery()
    indexes, names = (table(name, *map(column, columns), schema="pg_catalog") for name, columns in _CATALOG)
    return (
        select(literal_column("1", Integer()))
        .select_from(indexes.join(names, names.c.oid == indexes.c.indexrelid))
        .where(indexes.c.indrelid == ours, indexes.c.indisvalid, names.c.relname == _INDEX)
        .exists()
    )


_INDEX = "claude_session_entries_search_idx"
_CATALOG = (("pg_index", ("indexrelid", "indrelid", "indisvalid")), ("pg_class", ("oid", "relname")))


def _close(some: CTE) -> ColumnElement[bool]:
    """Whether the first FREQUENT matches lie so close together that all may be more than VISITED."""
    newest = select(func.max(Entry.id)).scalar_subquery()
    quarter, rest = (
        func.percentile_disc(literal_column(part)).within_group(some.c.id) for part in ("0.25", "0.75")
    )
    middle = select(rest - quarter).scalar_subquery()  # half of them: a few lie anywhere
    return middle < newest * literal_column(str(FREQUENT)) / literal_column(str(2 * VISITED))


def _newest(scope: Scope, count: int) -> Select[*tuple[Any, ...]]:
    """Ids of the newest entries of what was asked for, at most `count`, and `place`, which orders them.

    By id, which on one server says well enough what was stored last, and has an index. Served by:
    claude_session_entries_pkey, claude_session_entries_position_idx, and for a stretch of time
    claude_session_entries_usage_idx and claude_session_entries_unplaced_idx.
    """
    conditions = conditions_of(scope)
    if not scope.bounded:
        # Of a project all ids are sorted, half a second for a million: PostgreSQL would rather go through
        # everybody's newest entries, and through the whole table for a project that rests.
        place = Entry.id + literal_column("0") if conditions else Entry.id
        return select(Entry.id, place.label("place")).where(*conditions).order_by(place.desc()).limit(count)
    # Stored about when they were said, or all at once: in both cases the answers of that time tell where to
    # look for what was said with them.
    near = list(_near_answers(scope))
    parts = (
        select(Entry.id, Entry.id.label("place"))
        .where(*where, *conditions)
        .order_by(Entry.id.desc())
        .limit(count)
        .subquery()
        for where in ([*near, placed()], [unplaced()])
    )
    each = union_all(*map(select, parts)).subquery("newest_of_each")
    return select(each.c.id, each.c.place).order_by(each.c.place.desc()).limit(count)


def _near_answers(scope: Scope) -> Iterator[ColumnElement[bool]]:
    """Ids from a few before the answers of a time to a few after; all, if there are none."""
    answers = and_(Entry.type == literal_column("'assistant'"), *scope.said(Entry.said_at.expression))
    one = Entry.id + literal_column("0")  # not by the ids' own index, past all that is outside
    few = literal_column(str(NEAR), Integer())
    if scope.since is not None:
        first = select(func.min(one) - few).where(answers).scalar_subquery()
        yield Entry.id >= func.coalesce(first, 0)
    if scope.until is not None:
        last = select(func.max(one) + few).where(answers).scalar_subquery()
        yield Entry.id <= func.coalesce(last, literal_column(str(2**63 - 1)))


def _count(rows: FromClause) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def is_message(entry: ColumnElement[Any]) -> ColumnElement[bool]:
    """Which entries are searched."""
    # Literals: with parameters a prepared statement could not use a partial index.
    return json_member(entry, "type").in_([literal_column("'user'"), literal_column("'assistant'")])
