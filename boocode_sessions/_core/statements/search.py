"""SQL statements that fill the search index and search in it."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Delete,
    Insert,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from boocode_sessions._core.attributes import QUEUED
from boocode_sessions._core.sql.json_values import json_string
from boocode_sessions._core.sql.types import WORD_INDEX, UTCDateTime
from boocode_sessions._core.statements.derived import DIGEST, DIGESTS, ITS_DIGEST, TEXTS, Within, of_span
from boocode_sessions._core.statements.derived_reads import DerivedQuery
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    SESSION_IDS,
    Entry,
    exact_text,
    table_name,
    unplaced,
)
from boocode_sessions.errors import SEALED
from boocode_sessions.models import ClaudeSession, SessionDigest, SessionText

WORDS = Table(
    WORD_INDEX, MetaData(), Column("rowid", Integer), Column("words", Text), Column(WORD_INDEX, Text)
)
"""SQLite's full-text index. The column with the table's own name takes commands."""


@cache
def select_unsearched(within: Within) -> Select[str, int, str]:
    """Select the digests with entries that search doesn't find yet.

    Shape: (project_key, id, session_id) per digest.
    Served by: claude_session_digests_behind_idx.
    """
    digest = SessionDigest
    columns = (digest.project_key, digest.id, digest.session_id)
    return within.narrow(select(*columns).where(digest.searched_to < digest.counted_to), digest)


@cache
def select_unsearched_sessions(within: Within) -> Select[str, str, int, int]:
    """Select the sessions with entries that search doesn't find yet.

    Shape: (project_key, session_id, searched_to, next_position) per session.
    """
    row, digest = ClaudeSession, SessionDigest
    searched_to = func.coalesce(digest.searched_to, 0)
    return within.narrow(
        select(row.project_key, row.session_id, searched_to, row.next_position)
        .outerjoin(digest, ITS_DIGEST)
        .where(searched_to < row.next_position),
        row,
    )


@lru_cache
def insert_text_rows(dialect: Dialect, schema: str | None) -> str:
    """Return the INSERT of texts on SQLite. One tuple per text: id, digest_id, at, project_key and the words.

    SQLAlchemy would add half of SQLite's own time.
    """
    table = table_name(TEXTS.name, dialect, schema)
    columns = "id, digest_id, at, project_key, words"
    return f"INSERT OR IGNORE INTO {table} ({columns}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - names only


@lru_cache
def insert_word_rows(dialect: Dialect, schema: str | None) -> str:
    """Return the INSERT of words into SQLite's index. One tuple per text: id and the words."""
    return f"INSERT INTO {table_name(WORD_INDEX, dialect, schema)} (rowid, words) VALUES (?, ?)"  # noqa: S608 - names only


@cache
def delete_words(*, of_sessions: bool = False) -> Insert:
    """Remove the texts of a digest, or of sessions, from SQLite's index, before they are deleted."""
    gone = select(literal("delete"), TEXTS.c.id, type_coerce(TEXTS.c.words, Text))
    whose = _is_of_sessions() if of_sessions else TEXTS.c.digest_id == DIGEST
    return insert(WORDS).from_select([WORD_INDEX, "rowid", "words"], gone.where(whose))


@cache
def merge_words() -> Insert:
    """Rewrite SQLite's index: its parts keep the words that were removed until they are merged."""
    return insert(WORDS).values({WORD_INDEX: literal("optimize")})


@cache
def delete_texts() -> Delete:
    """Delete the texts of sessions of one project."""
    return delete(TEXTS).where(_is_of_sessions())


def _is_of_sessions() -> ColumnElement[bool]:
    digests = select(DIGESTS.c.id).where(
        DIGESTS.c.project_key == PROJECT, DIGESTS.c.session_id.in_(SESSION_IDS)
    )
    return and_(TEXTS.c.project_key == PROJECT, TEXTS.c.digest_id.in_(digests))


class Kinds(NamedTuple):
    """The kinds of texts that are searched."""

    messages: bool
    tools: bool


@cache
def select_matching(dialect: str, query: DerivedQuery, kinds: Kinds) -> Select[int]:
    """Select the `most` newest texts that match `wanted`, newest first. Shape: (id,) per text.

    On PostgreSQL only those with an id of at least `from_id`.
    Served by: claude_session_texts_words_idx; on SQLite claude_session_words.
    """
    text = SessionText
    wanted = bindparam("wanted", type_=Text)
    identity: ColumnElement[int] = WORDS.c.rowid if dialect == "sqlite" else text.id.expression
    conditions: list[Any] = [*query.times(text.at.expression)]
    if any(query.within):
        digests = query.within.narrow(select(SessionDigest.id), SessionDigest)
        conditions.append(text.digest_id.in_(digests))
    if query.within.project:
        conditions.append(text.project_key == PROJECT)
    if not (kinds.messages and kinds.tools):
        conditions.append(identity % literal_column("2") == literal_column(str(int(kinds.tools))))
    if dialect == "sqlite":
        matching = select(identity).where(WORDS.c[WORD_INDEX].op("MATCH")(wanted), *conditions)
        if any(query.within) or query.since or query.until:
            matching = matching.join_from(WORDS, text, text.id == identity)
    else:
        says = text.words.expression.op("@@")(sql_cast(wanted, postgresql.TSQUERY()))
        conditions.append(identity >= bindparam("from_id", type_=BigInteger))
        # In a query of its own: for a word that it thinks is frequent, the planner would otherwise go through
        # all texts, newest first.
        some = select(identity).where(says, *conditions).cte("some")
        identity = some.prefix_with("MATERIALIZED", dialect="postgresql").c.id
        matching = select(identity)
    return matching.order_by(identity.desc()).limit(bindparam("most", type_=Integer))


@cache
def select_newest_mark() -> Select[str | None]:
    """Select how the newest entry's verbatim text begins: with SEALED if the entry is encrypted.

    Shape: (text,); no row in an empty store.
    """
    mark = func.substr(Entry.verbatim, 1, len(SEALED))
    return select(mark).order_by(Entry.id.desc()).limit(1)


@cache
def select_newest_text() -> Select[int | None]:
    """Select the largest id of a text. Shape: one row (id,)."""
    return select(func.max(SessionText.id))


def _matched() -> tuple[Any, ...]:
    at = func.coalesce(Entry.said_at, Entry.created_at, type_=UTCDateTime())
    kind = func.coalesce(Entry.type, json_string(Entry.entry.expression, "type"))
    return (Entry.id, Entry.project_key, Entry.session_id, Entry.subpath, kind, at, exact_text())


def _is_message(kind: ColumnElement[Any]) -> ColumnElement[bool]:
    """Condition: a message, or a prompt sent while the agent was at work. `kind` is the entry's type."""
    attached = json_string(Entry.entry.expression, "attachment", "type")
    return or_(
        kind == literal_column("'user'"),
        kind == literal_column("'assistant'"),
        and_(kind == literal_column("'attachment'"), attached == literal_column(f"'{QUEUED}'")),
    )


@cache
def select_matched() -> Select[*tuple[Any, ...]]:
    """Select entries by `ids`. Shape: (id, project_key, session_id, subpath, type, time, exact JSON text)."""
    return select(*_matched()).where(Entry.id.in_(bindparam("ids", expanding=True, type_=BigInteger)))


@cache
def select_messages() -> Select[*tuple[Any, ...]]:
    """Select the `most` messages of a session from position `from_position` to before `to_position`.

    Shape: (position,) followed by that of `select_matched`, per message, oldest first.
    Served by: claude_session_entries_position_idx.
    """
    return (
        select(Entry.position, *_matched())
        .where(*of_span(), _is_message(Entry.type.expression))
        .order_by(Entry.position)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_unplaced_messages(within: Within) -> Select[*tuple[Any, ...]]:
    """Select messages that other programs inserted and nobody has placed. Shape: as `select_matched`."""
    kind = json_string(Entry.entry.expression, "type")
    return within.narrow(select(*_matched()), Entry).where(unplaced(), _is_message(kind))
