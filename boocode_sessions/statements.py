"""Every statement of the contract: pure functions from arguments to a Core statement.

Nothing here executes, decodes or knows a clock. All of it runs on PostgreSQL and on SQLite but for
`append_in_turn`, which needs row locks. The schema is set by the caller's `schema_translate_map`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnClause,
    ColumnElement,
    Delete,
    Insert,
    Integer,
    MetaData,
    ScalarSelect,
    Select,
    String,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
from sqlalchemy.sql.functions import FunctionElement

from boocode_sessions.contract import MAIN, Session, Transcript
from boocode_sessions.models import (
    VERSION_TABLE,
    ClaudeSessionEntry,
    ClaudeSessionSummary,
    UTCDateTime,
)

_ONE: ColumnClause[int] = literal_column("1", Integer)
Entry = ClaudeSessionEntry
Summary = ClaudeSessionSummary


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


def in_transcript(transcript: Transcript) -> ColumnElement[bool]:
    """The entries of one transcript. Served by: claude_session_entries_transcript_idx."""
    return and_(
        Entry.project_key == transcript.project_key,
        Entry.session_id == transcript.session_id,
        Entry.subpath == transcript.subpath,
    )


def of_session(session: Session) -> ColumnElement[bool]:
    """The summary of one session. Served by: claude_session_summaries_pkey."""
    return and_(Summary.project_key == session.project_key, Summary.session_id == session.session_id)


# Reading


def exact_text() -> ColumnElement[str]:
    """An entry's exact JSON text."""
    return func.coalesce(Entry.verbatim, json_text(Entry.entry))


def select_entries(transcript: Transcript) -> Select[str]:
    """One transcript, oldest first. Shape: (exact JSON text,) per entry; no row if it was never written.

    Served by: claude_session_entries_transcript_idx.
    """
    return select(exact_text()).where(in_transcript(transcript)).order_by(Entry.id)


def select_page(transcript: Transcript, after: int, limit: int) -> Select[int, str]:
    """The entries of one transcript that follow an id, oldest first. Shape: (id, exact JSON text)."""
    return (
        select(Entry.id, exact_text())
        .where(in_transcript(transcript), Entry.id > after)
        .order_by(Entry.id)
        .limit(limit)
    )


def select_sessions(project_key: str) -> Select[str, int]:
    """Every session of a project that has a main entry. Shape: (session_id, mtime) per session.

    A GROUP BY over one row per session that we wrote, and over the rows that other writers inserted and
    nobody has claimed: it does not grow with the entries.
    Served by: claude_session_summaries_pkey, claude_session_entries_unclaimed_idx, and a probe of
    claude_session_entries_transcript_idx per session, since another program may have deleted its entries.
    """
    ours = select(Summary.session_id, Summary.updated_at.label("at")).where(
        Summary.project_key == project_key,
        Summary.updated_at.is_not(None),
        _newest_main_id().is_not(None),
    )
    others = select(Entry.session_id, Entry.created_at.label("at")).where(
        Entry.project_key == project_key, Entry.subpath == MAIN, Entry.dedup_key.is_(None)
    )
    written = union_all(ours, others).subquery("written")
    return select(written.c.session_id, epoch_ms(func.max(written.c.at))).group_by(written.c.session_id)


def select_summaries(project_key: str) -> Select[str, int, str | None]:
    """The summaries of a project that are the true fold of their transcript.

    Shape: (session_id, mtime, data as JSON text) per session. One that misses an entry is left out, since
    its `mtime` may still look fresh; the SDK then reads the transcript itself.
    """
    unclaimed = aliased(Entry)
    return select(Summary.session_id, epoch_ms(Summary.updated_at), Summary.data).where(
        Summary.project_key == project_key,
        Summary.data.is_not(None),
        Summary.folded_id == _newest_main_id(),
        ~select(_ONE)
        .where(
            unclaimed.project_key == Summary.project_key,
            unclaimed.subpath == MAIN,
            unclaimed.session_id == Summary.session_id,
            unclaimed.dedup_key.is_(None),
        )
        .correlate(Summary)
        .exists(),
    )


def select_subkeys(session: Session) -> Select[str]:
    """The distinct subpaths of a session, but for the main transcript's. Shape: (subpath,) per transcript.

    Hops from one subpath to the next on the index, instead of reading each transcript's entries.
    Served by: claude_session_entries_transcript_idx.
    """

    def next_after(subpath: ColumnElement[str]) -> ScalarSelect[str]:
        return (
            select(func.min(Entry.subpath))
            .where(
                Entry.project_key == session.project_key,
                Entry.session_id == session.session_id,
                Entry.subpath > subpath,
            )
            .scalar_subquery()
        )

    hops = select(next_after(literal(MAIN)).label("subpath")).cte("hops", recursive=True)
    hops = hops.union_all(select(next_after(hops.c.subpath)).where(hops.c.subpath.is_not(None)))
    return select(hops.c.subpath).where(hops.c.subpath.is_not(None))


def select_versions() -> Select[str]:
    """The migration that the schema stands at. Shape: (version,); no row after a downgrade to base."""
    return select(_versions.c.version_num)


_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


# Writing


def take_turn(
    session: Session, dialect: str
) -> ReturningInsert[int, int | None, str | None, datetime | None]:
    """Wait until no other writer is at the session, and keep the next ones waiting until the commit.

    Shape: one row (turn, folded_id, data, updated_at). A write, and so as the
    first statement of a transaction makes SQLite take its lock before it reads anything.
    """
    row = {"project_key": session.project_key, "session_id": session.session_id, "turn": 0}
    upsert: postgresql.Insert | sqlite.Insert
    upsert = sqlite.insert(Summary) if dialect == "sqlite" else postgresql.insert(Summary)
    return (
        upsert.values(row)
        .on_conflict_do_update(
            index_elements=[Summary.project_key, Summary.session_id], set_={"turn": Summary.turn}
        )
        .returning(Summary.turn, Summary.folded_id, Summary.data, Summary.updated_at)
    )


def select_position(transcript: Transcript) -> Select[int | None, int | None, bool]:
    """Where a transcript stands.

    Shape: one row (newest id in it, newest main id of its session, whether it has unclaimed rows).
    """

    def newest(of: Transcript) -> ScalarSelect[int]:
        return select(func.max(Entry.id)).where(in_transcript(of)).scalar_subquery()

    # EXISTS and not max(id): a max would be sought backwards through all the claimed rows.
    unclaimed = select(_ONE).where(in_transcript(transcript), Entry.dedup_key.is_(None))
    return select(newest(transcript), newest(transcript._replace(subpath=MAIN)), unclaimed.exists())


def insert_entries(transcript: Transcript, dialect: str) -> Insert:
    """Insert those entries of one transcript whose idempotency key is new.

    Executed with one parameter set per entry: dedup_key, text, verbatim.
    """
    insert_: postgresql.Insert | sqlite.Insert
    insert_ = sqlite.insert(Entry) if dialect == "sqlite" else postgresql.insert(Entry)
    return insert_.values(
        project_key=transcript.project_key,
        session_id=transcript.session_id,
        subpath=transcript.subpath,
        dedup_key=bindparam("dedup_key", type_=Text),
        entry=text_json(bindparam("text", type_=Text)),
        verbatim=bindparam("verbatim", type_=Text),
    ).on_conflict_do_nothing(
        index_elements=[Entry.project_key, Entry.session_id, Entry.subpath, Entry.dedup_key],
        index_where=literal_column("dedup_key").is_not(None),
    )


def select_known(transcript: Transcript, keys: Sequence[str], up_to: int) -> Select[int, str | None, str]:
    """Which idempotency keys stood in a transcript up to an id. Shape: (id, dedup_key, exact JSON text)."""
    return select(Entry.id, Entry.dedup_key, exact_text()).where(
        in_transcript(transcript), Entry.dedup_key.in_(keys), Entry.id <= up_to
    )


def replace_entry() -> Update:
    """Give entries a new body in their place. One parameter set per entry: row_id, text, verbatim."""
    return (
        update(Entry)
        .where(Entry.id == bindparam("row_id", type_=BigInteger))
        .values(entry=text_json(bindparam("text", type_=Text)), verbatim=bindparam("verbatim", type_=Text))
        .execution_options(synchronize_session=False)
    )


def select_unclaimed(transcript: Transcript, after: int, limit: int) -> Select[int, str, datetime]:
    """Rows of other writers that have no idempotency key yet. Shape: (id, exact JSON text, created_at)."""
    return (
        select(Entry.id, exact_text(), Entry.created_at)
        .where(in_transcript(transcript), Entry.dedup_key.is_(None), Entry.id > after)
        .order_by(Entry.id)
        .limit(limit)
    )


def claim_entry() -> Update:
    """Give rows their idempotency key. One parameter set per row: row_id, key."""
    return (
        update(Entry)
        .where(Entry.id == bindparam("row_id", type_=BigInteger))
        .values(dedup_key=bindparam("key", type_=Text))
        .execution_options(synchronize_session=False)
    )


def finish_turn(session: Session, values: Mapping[str, Any]) -> Update:
    """Record what this turn wrote. `values`: columns of the summary."""
    return update(Summary).where(of_session(session)).values(**values)


def newest_main_id(session: Session) -> ScalarSelect[int]:
    """The id of a session's newest main entry, to be used inside another statement."""
    return (
        select(func.max(Entry.id))
        .where(in_transcript(Transcript(session.project_key, session.session_id, MAIN)))
        .scalar_subquery()
    )


def delete_entries(transcript: Transcript) -> Delete:
    """Every entry of one transcript; of the main one: of its whole session."""
    if transcript.is_main:
        return delete(Entry).where(
            Entry.project_key == transcript.project_key, Entry.session_id == transcript.session_id
        )
    return delete(Entry).where(in_transcript(transcript))


def delete_summary(session: Session) -> Delete:
    """The summary of one session."""
    return delete(Summary).where(of_session(session))


@cache
def append_in_turn() -> ReturningUpdate[int]:
    """Append to many sessions at once, in one round trip, where nobody wrote since the turn we know.

    Parameters: `jobs`, a JSON array of {n, project_key, session_id, subpath, turn, next_turn, data}, one a
    session; `entries`, a JSON array of [n, dedup_key, verbatim or null, entry] in order.
    Shape: (n,) per job that was done; the others wrote nothing.

    A session's row is locked before its entries draw their ids, and is never waited for, so that two
    processes which combine the same sessions can't deadlock. A known idempotency key fails the statement.
    The turn is compared under the lock; the newest main id and the unclaimed rows, which only programs
    that take no turns can change, as the statement's snapshot has them.
    PostgreSQL only.
    """
    jobs = _append_jobs()
    mine = and_(Summary.project_key == jobs.c.project_key, Summary.session_id == jobs.c.session_id)
    unclaimed = aliased(Entry)
    # A row lock inside a lateral subquery: the planner then looks each job's row up by its key.
    row = (
        select(Summary.session_id)
        .where(
            mine,
            Summary.turn == jobs.c.turn,
            Summary.folded_id.is_not_distinct_from(_newest_main_id()),
            ~select(_ONE)
            .where(
                unclaimed.project_key == jobs.c.project_key,
                unclaimed.subpath == jobs.c.subpath,
                unclaimed.session_id == jobs.c.session_id,
                unclaimed.dedup_key.is_(None),
            )
            .correlate(jobs)
            .exists(),
        )
        .correlate(jobs)
        .with_for_update(of=Summary, skip_locked=True)
        .lateral("row")
    )
    held = select(jobs).join_from(jobs, row, true()).cte("held")
    item = (
        func.jsonb_array_elements(cast(bindparam("entries", type_=Text), JSONB))
        .table_valued(column("value", JSONB[Any]()), with_ordinality="position", name="item")
        .render_derived()
    )

    def member(index: int, *, as_text: bool) -> ColumnElement[Any]:
        arrow = "->>" if as_text else "->"
        return item.c.value.op(arrow, return_type=Text() if as_text else JSONB())(literal_column(str(index)))

    wrote = (
        insert(Entry)
        .from_select(
            ["project_key", "session_id", "subpath", "dedup_key", "entry", "verbatim"],
            select(
                held.c.project_key,
                held.c.session_id,
                held.c.subpath,
                member(1, as_text=True),
                member(3, as_text=False),
                member(2, as_text=True),
            )
            .join_from(item, held, cast(member(0, as_text=True), Integer) == held.c.n)
            .order_by(item.c.position),
            include_defaults=False,
        )
        .returning(Entry.project_key, Entry.session_id, Entry.id, Entry.created_at)
        .cte("wrote")
    )
    last = (
        select(
            wrote.c.project_key,
            wrote.c.session_id,
            func.max(wrote.c.id).label("id"),
            func.max(wrote.c.created_at, type_=UTCDateTime()).label("at"),
        )
        .group_by(wrote.c.project_key, wrote.c.session_id)
        .subquery("last")
    )
    is_main = jobs.c.subpath == literal_column("''")
    return (
        update(Summary)
        .where(
            mine,
            last.c.project_key == jobs.c.project_key,
            last.c.session_id == jobs.c.session_id,
        )
        .values(
            turn=jobs.c.next_turn,
            folded_id=case((is_main, last.c.id), else_=Summary.folded_id),
            data=case((is_main, jobs.c.data), else_=Summary.data),
            updated_at=case((is_main, last.c.at), else_=Summary.updated_at),
        )
        .returning(jobs.c.n)
        .execution_options(synchronize_session=False)
    )


def _append_jobs() -> Any:  # noqa: ANN401 - a table-valued CTE has no useful type
    given = (
        func.jsonb_to_recordset(cast(bindparam("jobs", type_=Text), JSONB))
        .table_valued(
            column("n", Integer),
            column("project_key", Text),
            column("session_id", Text),
            column("subpath", Text),
            column("turn", BigInteger),
            column("next_turn", BigInteger),
            column("data", Text),
            name="given",
        )
        .render_derived(with_types=True)
    )
    return select(given).cte("jobs")


def _newest_main_id() -> ScalarSelect[int]:
    """The newest main id of the summary that a statement is at. One probe of the index."""
    return (
        select(func.max(Entry.id))
        .where(
            Entry.project_key == Summary.project_key,
            Entry.session_id == Summary.session_id,
            Entry.subpath == MAIN,
        )
        .correlate(Summary)
        .scalar_subquery()
    )
