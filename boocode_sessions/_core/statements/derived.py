"""SQL statements that fill the derived tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar
from typing import cast as cast_type

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Delete,
    Integer,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from boocode_sessions._core.codec import Extracted
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    SESSION,
    SESSION_IDS,
    Entry,
    are_among,
    exact_text,
    of_session,
    unplaced,
)
from boocode_sessions._core.statements.read import ONE
from boocode_sessions.models import ClaudeSession, SessionCall, SessionDigest, SessionText, SessionToolUse

_S = TypeVar("_S", bound="Select[*tuple[Any, ...]]")

DIGESTS = cast_type("Table", SessionDigest.__table__)
CALLS = cast_type("Table", SessionCall.__table__)
USES = cast_type("Table", SessionToolUse.__table__)
TEXTS = cast_type("Table", SessionText.__table__)

# Literals, because a prepared statement can use a partial index only for values that it knows.
NO, YES = literal_column("0", Integer()), literal_column("1", Integer())
QUARTER = 900_000_000
"""Microseconds of a quarter of an hour. In each of today's time zones, a day consists of whole quarters."""

DIGEST = bindparam("in_digest", type_=BigInteger)
THE_DIGEST = (DIGESTS.c.project_key == PROJECT, DIGESTS.c.id == DIGEST)
"""Conditions: the digest that the parameters `in_project` and `in_digest` name."""


class Tokens(NamedTuple):
    """The token columns."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    """Includes the next one."""
    cache_write_1h_tokens: int


class Within(NamedTuple):
    """Whether a query names a project, and whether it names a session."""

    project: bool
    session: bool

    @classmethod
    def named(cls, parameters: Mapping[str, str]) -> Within:
        """Read this from the query's parameters."""
        return cls("in_project" in parameters, "in_session" in parameters)

    def narrow(self, statement: _S, table: Any) -> _S:  # noqa: ANN401 - a model
        """Limit a statement to the named project and session. Its parameters: in_project, in_session."""
        if self.project:
            statement = statement.where(table.project_key == PROJECT)
        if self.session:
            statement = statement.where(table.session_id == SESSION)
        return statement


ITS_DIGEST = and_(
    SessionDigest.project_key == ClaudeSession.project_key,
    SessionDigest.session_id == ClaudeSession.session_id,
)
"""Condition: the digest of a session's row."""


@cache
def select_behind(within: Within, *, some: bool = False) -> Select[*tuple[Any, ...]]:
    """Select the sessions whose digests are not up to date.

    `some` limits them to the sessions in `among`.
    Shape: (project_key, session_id; the digest's id, counted_to, transcripts; next_position, transcripts).
    The cost grows with the sessions and transcripts, not with the entries. Served by:
    claude_session_entries_first_idx, which has one row per transcript.
    """
    firsts = within.narrow(
        select(Entry.project_key, Entry.session_id, func.count().label("transcripts")), Entry
    )
    row, digest = ClaudeSession, SessionDigest
    if some:
        firsts = firsts.where(*are_among(Entry.project_key, Entry.session_id))
    begun = (
        firsts.where(Entry.is_first.is_not(None))
        .group_by(Entry.project_key, Entry.session_id)
        .subquery("begun")
    )
    transcripts = func.coalesce(begun.c.transcripts, 0)
    statement = select(
        row.project_key,
        row.session_id,
        digest.id,
        func.coalesce(digest.counted_to, 0),
        func.coalesce(digest.transcripts, 0),
        row.next_position,
        transcripts,
    )
    if some:
        statement = statement.where(*are_among(row.project_key, row.session_id))
    return within.narrow(
        statement.outerjoin(digest, ITS_DIGEST)
        .outerjoin(begun, (begun.c.project_key == row.project_key) & (begun.c.session_id == row.session_id))
        .where(
            or_(
                digest.id.is_(None),
                digest.counted_to < row.next_position,
                digest.transcripts != transcripts,
            )
        ),
        row,
    )


@cache
def select_behind_count(*, encrypted: bool) -> Select[int]:
    """Count the sessions with entries that search doesn't find yet. Shape: one row (count,).

    An `encrypted` store can't be searched: there it counts those with entries that usage doesn't cover yet.
    """
    row, digest = ClaudeSession, SessionDigest
    covered_to = func.coalesce(digest.counted_to if encrypted else digest.searched_to, 0)
    rows = select(func.count()).select_from(row).outerjoin(digest, ITS_DIGEST)
    return rows.where(covered_to < row.next_position)


@cache
def select_orphans(within: Within) -> Select[str, int]:
    """Select the digests of sessions that no longer exist. Shape: (project_key, id) per digest."""
    row, digest = aliased(ClaudeSession), SessionDigest
    there = select(ONE).where(row.project_key == digest.project_key, row.session_id == digest.session_id)
    return within.narrow(select(digest.project_key, digest.id).where(~there.exists()), digest)


@cache
def select_digest() -> Select[int]:
    """Select a session's digest. Shape: (id,), or no row."""
    return select(DIGESTS.c.id).where(DIGESTS.c.project_key == PROJECT, DIGESTS.c.session_id == SESSION)


def of_span() -> Sequence[ColumnElement[bool]]:
    """Conditions: an entry of a session from position `from_position` to before `to_position`."""
    start, end = (bindparam(f"{name}_position", type_=BigInteger) for name in ("from", "to"))
    return *of_session(), Entry.position >= start, Entry.position < end


@cache
def select_lines() -> Select[*tuple[Any, ...]]:
    """Select the entries that tell of a call, of a tool use, or of a new transcript, oldest first.

    They are the first `most` of a session from position `from_position` to before `to_position`.
    Shape: (id, position, created_at, *the columns of `Extracted`, text, is_first) per entry. The text is that
    of a `derived.records.Line`.
    Served by: claude_session_entries_position_idx.
    """
    several = (Entry.tool_count.is_not(None)) & (Entry.tool_use_id.is_(None))
    answers = Entry.type == literal_column("'assistant'")
    telling = or_(answers, Entry.tool_count.is_not(None), Entry.is_first.is_not(None))
    return (
        select(
            Entry.id,
            Entry.position,
            Entry.created_at,
            *(getattr(Entry, name) for name in Extracted._fields),
            case((several, exact_text())),
            Entry.is_first,
        )
        .where(*of_span(), telling)
        .order_by(Entry.position)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_unplaced_lines(within: Within) -> Select[str, str, int, int, Any, str]:
    """Select the rows that other programs inserted and nobody has placed.

    Shape: (project_key, session_id, id, position, created_at, exact JSON text) per row.
    """
    columns = (Entry.project_key, Entry.session_id, Entry.id, Entry.position, Entry.created_at)
    return within.narrow(select(*columns, exact_text()), Entry).where(unplaced())


def lock_catching_up(schema: str | None) -> Select[Any]:
    """Keep others from filling these tables until the commit. PostgreSQL only: SQLite has one writer anyway.

    It counts the digests of no project. So a distributed database takes the lock on the server that would
    hold them, whichever node was asked.
    """
    name = bindparam("name", f"boocode_sessions.{schema or ''}", type_=Text)
    none = func.count() * literal_column("0")
    locked = func.pg_advisory_xact_lock(func.hashtext(name) + none)
    return select(locked).select_from(DIGESTS).where(DIGESTS.c.project_key == literal_column("''"))


@cache
def begin_to_write() -> Update:
    """Change nothing, but make SQLite take its lock before anything is read."""
    return update(DIGESTS).where(DIGESTS.c.id == literal_column("-1")).values(transcripts=0)


def insert_digests(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Insert the digests that are missing. One parameter set per session."""
    return _insert_digest(dialect).on_conflict_do_nothing()


def _insert_digest(dialect: str) -> postgresql.Insert | sqlite.Insert:
    insert = sqlite.insert(DIGESTS) if dialect == "sqlite" else postgresql.insert(DIGESTS)
    return insert.values(project_key=PROJECT, session_id=SESSION)


@cache
def set_digest() -> Update:
    """Set how far a digest has come. Parameters: in_project, in_digest, counted_to, transcripts."""
    counted_to = bindparam("counted_to", type_=BigInteger)
    transcripts = bindparam("transcripts", type_=Integer)
    return update(DIGESTS).where(*THE_DIGEST).values(counted_to=counted_to, transcripts=transcripts)


@cache
def set_searched() -> Update:
    """Set how far search has come. Parameters: in_project, in_digest, searched_to."""
    searched_to = bindparam("searched_to", type_=BigInteger)
    return update(DIGESTS).where(*THE_DIGEST).values(searched_to=searched_to)


@cache
def reset_search(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Make search read a session again from the start. One parameter set per session.

    A search of the session waits for the commit. If the digest is missing, it is inserted: otherwise a search
    could insert it, and take words of entries that the caller is deleting.
    """
    whose = ["project_key", "session_id"]
    return _insert_digest(dialect).on_conflict_do_update(index_elements=whose, set_={"searched_to": 0})


@cache
def delete_unused_digests() -> Delete:
    """Delete the digests of sessions of one project that hold nothing. Parameters: those of `in_sessions`."""
    whose = (DIGESTS.c.project_key == PROJECT, DIGESTS.c.session_id.in_(SESSION_IDS))
    return delete(DIGESTS).where(*whose, DIGESTS.c.counted_to == 0)


@cache
def lock_digest(*, wait: bool) -> Select[int, int]:
    """Lock a digest until the commit: deletions of its session wait. Parameters: in_project, in_digest.

    Wait only for the first digest of a transaction: a host may delete several sessions in one, in another
    order, and each would wait for the other.
    Shape: one row (searched_to, counted_to); no row if it is gone, or if it is locked and `wait` is False.
    """
    locked = select(DIGESTS.c.searched_to, DIGESTS.c.counted_to).where(*THE_DIGEST)
    return locked.with_for_update(skip_locked=not wait)


@cache
def delete_of_digest(table: Table) -> Delete:
    """Delete what was taken from a session, or its digest. Parameters: in_project, in_digest."""
    digest_id = table.c.id if table is DIGESTS else table.c.digest_id
    return delete(table).where(table.c.project_key == PROJECT, digest_id == DIGEST)
