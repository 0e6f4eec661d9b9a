"""What the derived tables are written with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar
from typing import cast as cast_type

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Delete,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from boocode_sessions._core.sql.functions import earlier_of, greater_text, hex_bytes, later_of
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    SESSION,
    Entry,
    exact_text,
    of_session,
    unplaced,
)
from boocode_sessions._core.statements.read import ONE
from boocode_sessions.models import ClaudeSession, SessionCall, SessionDigest, SessionToolUse

_S = TypeVar("_S", bound="Select[*tuple[Any, ...]]")

DIGESTS = cast_type("Table", SessionDigest.__table__)
CALLS = cast_type("Table", SessionCall.__table__)
USES = cast_type("Table", SessionToolUse.__table__)
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
"""The columns of tokens, in the order of `derived.facts.Tokens`."""

# Literals, since a prepared statement can use a partial index only for what it knows.
NO, YES = literal_column("0", Integer()), literal_column("1", Integer())
QUARTER = 900_000_000
"""Microseconds of a quarter of an hour: a day in any of today's time zones is made of whole ones."""

_DIGEST = bindparam("in_digest", type_=BigInteger)


class Within(NamedTuple):
    """Which of a project and a session a question names."""

    project: bool
    session: bool

    @classmethod
    def named(cls, parameters: Mapping[str, str]) -> Within:
        """By the parameters that the question has."""
        return cls("in_project" in parameters, "in_session" in parameters)

    def narrow(self, statement: _S, table: Any) -> _S:  # noqa: ANN401 - a model
        """The statement, of these only. Its parameters: in_project, in_session."""
        if self.project:
            statement = statement.where(table.project_key == PROJECT)
        if self.session:
            statement = statement.where(table.session_id == SESSION)
        return statement


EVERYWHERE = Within(project=False, session=False)


@cache
def select_behind(within: Within, *, some: bool = False) -> Select[*tuple[Any, ...]]:
    """The sessions that their digests do not hold as they are.

    `some`: of the `sessions` alone.
    Shape: (project_key, session_id, the digest's id, counted_to, transcripts; next_position, transcripts).
    Grows with the sessions and transcripts, not with the entries. Served by:
    claude_session_entries_first_idx, which has one row per transcript.
    """
    firsts = within.narrow(
        select(Entry.project_key, Entry.session_id, func.count().label("transcripts")), Entry
    )
    row, digest = ClaudeSession, SessionDigest
    sessions: BindParameter[Any] = bindparam("sessions", expanding=True)
    if some:
        firsts = firsts.where(tuple_(Entry.project_key, Entry.session_id).in_(sessions))
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
        digest.counted_to,
        digest.transcripts,
        row.next_position,
        transcripts,
    )
    if some:
        statement = statement.where(tuple_(row.project_key, row.session_id).in_(sessions))
    return within.narrow(
        statement.outerjoin(
            digest, (digest.project_key == row.project_key) & (digest.session_id == row.session_id)
        )
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
def select_orphans() -> Select[int]:
    """The digests of sessions that are not there. Shape: (id,) per digest."""
    row, digest = aliased(ClaudeSession), SessionDigest
    there = select(ONE).where(row.project_key == digest.project_key, row.session_id == digest.session_id)
    return select(digest.id).where(~there.exists())


@cache
def select_lines() -> Select[*tuple[Any, ...]]:
    """The `most` entries of a session from position `from_position` to before `to_position` that tell of a
    call, of a tool use, or of a new transcript, oldest first. Shape: see `derived.lines`.

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
            Entry.said_at,
            Entry.type,
            Entry.message_id,
            Entry.request_id,
            Entry.model,
            *(func.coalesce(getattr(Entry, name), literal_column("0")) for name in TOKENS),
            Entry.tool_name,
            Entry.tool_use_id,
            Entry.tool_count,
            Entry.failed,
            Entry.forked_from,
            case((several, exact_text())),
            Entry.is_first,
        )
        .where(
            *of_session(),
            Entry.position >= bindparam("from_position", type_=BigInteger),
            Entry.position < bindparam("to_position", type_=BigInteger),
            telling,
        )
        .order_by(Entry.position)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_unplaced_lines(within: Within) -> Select[str, str, int, int, Any, str]:
    """The rows of other programs that nobody has placed.

    Shape: (project_key, session_id, id, position, created_at, exact JSON text) per row.
    """
    columns = (Entry.project_key, Entry.session_id, Entry.id, Entry.position, Entry.created_at)
    return within.narrow(select(*columns, exact_text()), Entry).where(unplaced())


def lock_catching_up(schema: str | None) -> Select[Any]:
    """Let nobody else take lines until the commit. PostgreSQL only: on SQLite whoever writes is alone."""
    name = f"boocode_sessions.{schema or ''}"
    return select(func.pg_advisory_xact_lock(func.hashtext(bindparam("name", name, type_=Text))))


@cache
def begin_to_write() -> Update:
    """Makes SQLite take its lock before anything is read, and nothing else."""
    return update(DIGESTS).where(DIGESTS.c.id == literal_column("-1")).values(transcripts=0)


def insert_digests(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Make the digests that are missing. One parameter set per session."""
    insert = sqlite.insert(DIGESTS) if dialect == "sqlite" else postgresql.insert(DIGESTS)
    return insert.values(project_key=PROJECT, session_id=SESSION).on_conflict_do_nothing()


@cache
def set_digest() -> Update:
    """How far a digest has come. Parameters: in_digest, counted_to, transcripts."""
    return (
        update(DIGESTS)
        .where(DIGESTS.c.id == _DIGEST)
        .values(
            counted_to=bindparam("counted_to", type_=BigInteger),
            transcripts=bindparam("transcripts", type_=Integer),
        )
    )


@cache
def empty_digest(table: Table) -> Delete:
    """Remove what was taken from a session, or its digest. One parameter set per digest: in_digest."""
    return delete(table).where((table.c.id if table is DIGESTS else table.c.digest_id) == _DIGEST)


@cache
def upsert_calls(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Merge calls into those that are there. Parameters: see `_insertion`."""
    insert = _insertion(CALLS, dialect)
    table, new = CALLS, insert.excluded
    merged: dict[str, Any] = {
        "at": earlier_of(table.c.at, new["at"]),
        "said_at": earlier_of(table.c.said_at, new["said_at"]),
        "quarter": earlier_of(table.c.quarter, new["quarter"]),
        "shared": later_of(table.c.shared, new["shared"]),
        "model": greater_text(table.c.model, new["model"]),
        **{name: later_of(table.c[name], new[name]) for name in TOKENS},
    }
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=merged)


@cache
def upsert_uses(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Likewise of tool uses."""
    insert = _insertion(USES, dialect)
    table, new = USES, insert.excluded
    merged: dict[str, Any] = {
        "tool": greater_text(table.c.tool, new["tool"]),
        "failed": later_of(table.c.failed, new["failed"]),
        "asked_at": earlier_of(table.c.asked_at, new["asked_at"]),
        "answered_at": earlier_of(table.c.answered_at, new["answered_at"]),
    }
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=merged)


def _insertion(table: Table, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """On SQLite: one parameter set per row, named after the columns. On PostgreSQL, where that takes five
    times as long: `rows`, a JSON array that has for each row an array in the columns' order."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    items = (
        func.jsonb_array_elements(cast(bindparam("rows", type_=Text), JSONB))
        .table_valued(column("value", JSONB), name="items")
        .render_derived()
    )
    values: list[ColumnElement[Any]] = []
    for place, target in enumerate(table.columns):
        text = items.c.value.op("->>", return_type=Text())(literal_column(str(place)))
        kind = target.type
        values.append(hex_bytes(text) if isinstance(kind, LargeBinary) else cast(text, kind))
    return postgresql.insert(table).from_select(list(table.columns), select(*values), include_defaults=False)


@cache
def mark_shared(model: type[SessionCall | SessionToolUse]) -> Update:
    """Mark those of `calls` that several sessions tell of. A copy is always marked; the session that it is
    copied from is not for its sake, since only one of the two counts at a time."""
    table, other, digest = cast_type("Table", model.__table__), aliased(model), aliased(SessionDigest)
    own_id = select(digest.session_id).where(digest.id == table.c.digest_id).scalar_subquery()
    elsewhere = (
        exists(ONE)
        .where(
            other.call == table.c.call,
            or_(other.digest_id != table.c.digest_id, other.copied_from != table.c.copied_from),
            or_(other.copied_from == literal_column("''"), other.copied_from != own_id),
        )
        .correlate(table)
    )
    calls = bindparam("calls", expanding=True, type_=LargeBinary)
    return update(table).where(table.c.call.in_(calls), table.c.shared == NO, elsewhere).values(shared=YES)
