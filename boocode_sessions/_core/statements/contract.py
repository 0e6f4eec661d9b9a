"""Every statement of the contract, each built once: what it is about comes as parameters.

Nothing here executes, decodes or knows a clock. All of it runs on PostgreSQL and on SQLite but for
what says otherwise. The schema is set by the caller's `schema_translate_map`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from typing import cast as cast_type

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
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
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from boocode_sessions._core.keys import MAIN, Session, Transcript
from boocode_sessions._core.sql.functions import UTCDateTime, epoch_ms, json_text, storage_clock, text_json
from boocode_sessions.models import (
    VERSION_TABLE,
    ClaudeSessionEntry,
    ClaudeSessionSummary,
)

_ONE: ColumnClause[int] = literal_column("1", Integer)
Entry = ClaudeSessionEntry
Summary = ClaudeSessionSummary
# An ORM update binds parameters in its own way: these are updated as plain tables.
_entries = cast_type("Table", Entry.__table__)
_summaries = cast_type("Table", Summary.__table__)
_AFTER = bindparam("after", type_=BigInteger)
_MOST = bindparam("most", type_=Integer)


PROJECT = bindparam("in_project", type_=Text)
SESSION = bindparam("in_session", type_=Text)
SUBPATH = bindparam("in_subpath", type_=Text)


def in_project(project_key: str) -> dict[str, str]:
    """The parameters that name a project."""
    return {"in_project": project_key}


def in_session(session: Session) -> dict[str, str]:
    """The parameters that name a session."""
    return {"in_project": session.project_key, "in_session": session.session_id}


def in_transcript(transcript: Transcript) -> dict[str, str]:
    """The parameters that name a transcript."""
    return {**in_session(transcript.session), "in_subpath": transcript.subpath}


def exact_text() -> ColumnElement[str]:
    """An entry's exact JSON text."""
    return func.coalesce(Entry.verbatim, json_text(Entry.entry))


def of_transcript(subpath: BindParameter[str] | str = SUBPATH) -> Sequence[ColumnElement[bool]]:
    """Whether an entry is of the transcript of the parameters.

    Served by: claude_session_entries_transcript_idx.
    """
    return Entry.project_key == PROJECT, Entry.session_id == SESSION, Entry.subpath == subpath


def any_main_id() -> ScalarSelect[int]:
    """The newest main id of the summary that a statement is at."""
    return _max_main_id().scalar_subquery()


def is_true_fold() -> ColumnElement[bool]:
    """Whether the summary that a statement is at holds all of its main transcript, unclaimed rows too."""
    others = _unclaimed(Summary.project_key, Summary.session_id, MAIN).correlate(Summary)
    return and_(Summary.data.is_not(None), Summary.folded_id == _newest_main_id(), ~others.exists())


# Reading


@cache
def select_entries() -> Select[str | None, str | None]:
    """One transcript, oldest first. Shape: the exact JSON text of each entry, first as the column `entry` has
    it, or else as `verbatim`; no row if it was never written.

    Served by: claude_session_entries_transcript_idx.
    """
    in_entry = case((Entry.verbatim.is_(None), json_text(Entry.entry)))
    return select(in_entry, Entry.verbatim).where(*of_transcript()).order_by(Entry.id)


@cache
def select_page() -> Select[int, str]:
    """The `most` entries of one transcript that follow id `after`, oldest first.

    Shape: (id, exact JSON text) per entry.
    """
    return (
        select(Entry.id, exact_text())
        .where(*of_transcript(), Entry.id > _AFTER)
        .order_by(Entry.id)
        .limit(_MOST)
    )


@cache
def select_sessions() -> Select[str, int]:
    """Every session of a project that has a main entry. Shape: (session_id, mtime) per session.

    A GROUP BY over one row per session that we wrote, and over the rows that other writers inserted and
    nobody has claimed: it does not grow with the entries.
    Served by: claude_session_summaries_pkey, claude_session_entries_unclaimed_idx, and a probe of
    claude_session_entries_transcript_idx per session, since another program may have deleted its entries.
    """
    ours = select(Summary.session_id, Summary.updated_at.label("at")).where(
        Summary.project_key == PROJECT,
        Summary.updated_at.is_not(None),
        or_(_newest_main_id().is_not(None), any_main_id().is_not(None)),
    )
    others = select(Entry.session_id, Entry.created_at.label("at")).where(
        Entry.project_key == PROJECT, Entry.subpath == MAIN, Entry.dedup_key.is_(None)
    )
    written = union_all(ours, others).subquery("written")
    return select(written.c.session_id, epoch_ms(func.max(written.c.at))).group_by(written.c.session_id)


@cache
def select_summaries() -> Select[str, int, str | None]:
    """The summaries of a project that are the true fold of their transcript.

    Shape: (session_id, mtime, data as JSON text) per session. One that misses an entry is left out, since
    its `mtime` may still look fresh; the SDK then reads the transcript itself.
    """
    return select(Summary.session_id, epoch_ms(Summary.updated_at), Summary.data).where(
        Summary.project_key == PROJECT, is_true_fold()
    )


@cache
def select_subkeys(dialect: str) -> Select[str]:
    """The distinct subpaths of a session, but for the main transcript's. Shape: (subpath,) per transcript.

    Served by: claude_session_entries_transcript_idx, on which it hops from one subpath to the next, instead
    of reading each transcript's entries. On PostgreSQL, where a hop takes 5 microseconds, as long as 30
    entries take, it reads a page of entries at a time while that has several subpaths.
    """
    return _hopping() if dialect == "sqlite" else _paging()


@cache
def select_versions() -> Select[str]:
    """The migration that the schema stands at. Shape: (version,); no row after a downgrade to base."""
    return select(Table(VERSION_TABLE, MetaData(), Column("version_num", String(32))).c.version_num)


# Writing


@cache
def wait_for_turn(dialect: str) -> Insert:
    """Wait until no other writer is at the session, and keep the next ones waiting until the commit.

    A write, and so as the first statement of a transaction makes SQLite take its lock before it reads
    anything.
    """
    upsert: postgresql.Insert | sqlite.Insert
    upsert = sqlite.insert(Summary) if dialect == "sqlite" else postgresql.insert(Summary)
    return upsert.values(
        project_key=PROJECT, session_id=SESSION, turn=literal_column("0")
    ).on_conflict_do_update(
        index_elements=[Summary.project_key, Summary.session_id], set_={"turn": Summary.turn}
    )


@cache
def take_turn(dialect: str) -> ReturningInsert[int, int | None, str | None, datetime | None]:
    """`wait_for_turn`, and what the session was left at.

    Shape: one row (turn, folded_id, data, updated_at).
    """
    return wait_for_turn(dialect).returning(Summary.turn, Summary.folded_id, Summary.data, Summary.updated_at)


@cache
def select_position() -> Select[int | None, int | None, bool]:
    """Where a transcript stands.

    Shape: one row (newest id in it, newest main id of its session, whether it has unclaimed rows).
    """
    newest = select(func.max(Entry.id)).where(*of_transcript()).scalar_subquery()
    # EXISTS and not max(id): a max would be sought backwards through all the claimed rows.
    unclaimed = select(_ONE).where(*of_transcript(), Entry.dedup_key.is_(None))
    return select(newest, _newest_id_of_main(), unclaimed.exists())


@cache
def insert_entries(dialect: str) -> Insert:
    """Insert those entries of one transcript whose idempotency key is new.

    Parameters on PostgreSQL: the transcript's, and `entries`, a JSON array as `append_in_turn` takes it. On
    SQLite one parameter set per entry: the transcript's, and those of `EncodedEntry`.
    """
    insert_: postgresql.Insert | sqlite.Insert
    if dialect == "sqlite":
        insert_ = sqlite.insert(Entry).values(
            project_key=PROJECT,
            session_id=SESSION,
            subpath=SUBPATH,
            dedup_key=bindparam("dedup_key", type_=Text),
            entry=text_json(bindparam("text", type_=Text)),
            verbatim=bindparam("verbatim", type_=Text),
            facts=text_json(bindparam("facts", type_=Text)),
        )
    else:
        items = _given_entries()
        rows = select(PROJECT, SESSION, SUBPATH, *_columns_of(items)).order_by(items.c.position)
        insert_ = postgresql.insert(Entry).from_select(_INSERTED, rows, include_defaults=False)
    return insert_.on_conflict_do_nothing(
        index_elements=[Entry.project_key, Entry.session_id, Entry.subpath, Entry.dedup_key],
        index_where=literal_column("dedup_key").is_not(None),
    )


@cache
def select_known() -> Select[int, str | None, str]:
    """Which of the idempotency keys `keys` stood in a transcript up to id `up_to`.

    Shape: (id, dedup_key, exact JSON text) per entry. Served by: claude_session_entries_dedup_idx.
    """
    return select(Entry.id, Entry.dedup_key, exact_text()).where(
        *of_transcript(),
        Entry.dedup_key.in_(bindparam("keys", expanding=True, type_=Text)),
        Entry.id <= bindparam("up_to", type_=BigInteger),
    )


@cache
def replace_entry() -> Update:
    """Give entries a new body in their place. One parameter set per entry: row_id, text, exact, new_facts."""
    return (
        update(_entries)
        .where(_entries.c.id == bindparam("row_id", type_=BigInteger))
        .values(
            entry=text_json(bindparam("text", type_=Text)),
            verbatim=bindparam("exact", type_=Text),
            facts=text_json(bindparam("new_facts", type_=Text)),
        )
    )


@cache
def select_unclaimed() -> Select[int, str, datetime]:
    """The `most` rows after id `after` that other writers inserted into a transcript, without a key yet.

    Shape: (id, exact JSON text, created_at) per row. Served by: claude_session_entries_unclaimed_idx.
    """
    return (
        select(Entry.id, exact_text(), Entry.created_at)
        .where(*of_transcript(), Entry.dedup_key.is_(None), Entry.id > _AFTER)
        .order_by(Entry.id)
        .limit(_MOST)
    )


@cache
def claim_entry() -> Update:
    """Give rows their idempotency key and their facts. One parameter set per row: row_id, key, found."""
    return (
        update(_entries)
        .where(_entries.c.id == bindparam("row_id", type_=BigInteger))
        .values(dedup_key=bindparam("key", type_=Text), facts=text_json(bindparam("found", type_=Text)))
    )


@cache
def finish_turn() -> Update:
    """Record that a turn has written. Parameters: the session's, next_turn."""
    return (
        update(_summaries)
        .where(_summaries.c.project_key == PROJECT, _summaries.c.session_id == SESSION)
        .values(turn=_NEXT_TURN)
    )


@cache
def finish_main_turn(*, folded: bool, written: bool) -> Update:
    """Record that a turn has written to the main transcript.

    Parameters: the session's, next_turn, and data (JSON text) when `folded`. The transcript's time becomes
    the clock's when `written`, else the parameter `at`: claiming rows is no append.
    """
    newest = _newest_id_of_main() if folded else null()
    return finish_turn().values(
        folded_id=newest,
        data=bindparam("folded_data", type_=Text),
        updated_at=storage_clock() if written else bindparam("at", type_=UTCDateTime),
    )


@cache
def delete_transcript() -> Delete:
    """Every entry of one transcript."""
    return delete(Entry).where(*of_transcript())


@cache
def delete_session() -> Delete:
    """Every entry of a session, in all its transcripts."""
    return delete(Entry).where(Entry.project_key == PROJECT, Entry.session_id == SESSION)


@cache
def delete_summary() -> Delete:
    """The summary of one session."""
    return delete(Summary).where(Summary.project_key == PROJECT, Summary.session_id == SESSION)


@cache
def append_in_turn() -> ReturningUpdate[int]:
    """Append to many sessions at once, in one round trip, where nobody wrote since the turn we know.

    Parameters: `jobs`, a JSON array of {n, project_key, session_id, subpath, turn, next_turn, data}, one a
    session; `entries`, a JSON array of [n, dedup_key, verbatim or null, facts or null, entry] in order.
    Shape: (n,) per job that was done; the others wrote nothing.

    A session's row is locked before its entries draw their ids, and is never waited for, so that two
    processes which combine the same sessions can't deadlock. A known idempotency key fails the statement.
    The turn is compared under the lock; the newest main id and the unclaimed rows, which only programs
    that take no turns can change, as the statement's snapshot has them.
    PostgreSQL only.
    """
    jobs = _append_jobs()
    mine = and_(Summary.project_key == jobs.c.project_key, Summary.session_id == jobs.c.session_id)
    others = _unclaimed(jobs.c.project_key, jobs.c.session_id, jobs.c.subpath).correlate(jobs)
    # A row lock inside a lateral subquery: the planner then looks each job's row up by its key. Without OF,
    # which SQLAlchemy 2.0.38 can't compile there: this FROM has no other table.
    row = (
        select(Summary.session_id)
        .where(
            mine,
            Summary.turn == jobs.c.turn,
            Summary.folded_id.is_not_distinct_from(_newest_main_id()),
            ~others.exists(),
        )
        .correlate(jobs)
        .with_for_update(skip_locked=True)
        .lateral("row")
    )
    held = select(jobs).join_from(jobs, row, true()).cte("held")
    items = _given_entries()
    rows = (
        select(held.c.project_key, held.c.session_id, held.c.subpath, *_columns_of(items))
        .join_from(items, held, cast(_member(items, 0), Integer) == held.c.n)
        .order_by(items.c.position)
    )
    wrote = (
        insert(Entry)
        .from_select(_INSERTED, rows, include_defaults=False)
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


@cache
def append_one_in_turn() -> ReturningUpdate[int]:
    """Append one entry to one session, in one round trip, where nobody wrote since the turn we know.

    Parameters: those of `in_transcript`; `turn`, `next_turn`, `next_data`; those of `EncodedEntry`.
    Shape: (0,) when it was done, as the number of the only job; no row when not.

    In all else `append_in_turn`, whose plan has twice as many nodes, and nodes take longer to start than to
    run: this takes a quarter less of the server's time (benchmarks: `append`). PostgreSQL only.
    """
    row = (
        select(
            Summary.project_key,
            Summary.session_id,
            SUBPATH,
            bindparam("dedup_key", type_=Text),
            text_json(bindparam("text", type_=Text)),
            bindparam("verbatim", type_=Text),
            text_json(bindparam("facts", type_=Text)),
        )
        .where(*_nobody_wrote())
        .with_for_update(of=Summary, skip_locked=True)
    )
    wrote = (
        insert(Entry)
        .from_select(_INSERTED, row, include_defaults=False)
        .returning(Entry.project_key, Entry.session_id, Entry.id, Entry.created_at)
        .cte("wrote")
    )
    is_main = literal_column("''") == SUBPATH
    return (
        update(Summary)
        .where(Summary.project_key == wrote.c.project_key, Summary.session_id == wrote.c.session_id)
        .values(
            turn=_NEXT_TURN,
            folded_id=case((is_main, wrote.c.id), else_=Summary.folded_id),
            data=case((is_main, bindparam("next_data", type_=Text)), else_=Summary.data),
            updated_at=case((is_main, wrote.c.created_at), else_=Summary.updated_at),
        )
        .returning(literal_column("0", Integer))
        .execution_options(synchronize_session=False)
    )


@cache
def retake_turn() -> ReturningUpdate[int]:
    """Take the turn of a session that nobody has written to since the turn we know.

    Parameters: those of `in_transcript`; `turn`, `next_turn`. Shape: (0,) when it was taken; no row when not.
    With `insert_in_turn` and `finish_retaken_turn` it appends in parts. PostgreSQL only.
    """
    return (
        update(Summary)
        .where(*_nobody_wrote())
        .values(turn=_NEXT_TURN)
        .returning(literal_column("0", Integer))
        .execution_options(synchronize_session=False)
    )


@cache
def insert_in_turn() -> Insert:
    """Insert a part of what is appended, where `retake_turn` has taken the turn `next_turn`.

    Parameters: those of `in_transcript`; `next_turn`; `entries` as `append_in_turn` takes them. A known
    idempotency key fails the statement. PostgreSQL only.
    """
    items = _given_entries()
    ours = select(_ONE).where(Summary.project_key == PROJECT, Summary.session_id == SESSION, _IS_OURS)
    rows = select(PROJECT, SESSION, SUBPATH, *_columns_of(items)).where(ours.exists())
    return insert(_entries).from_select(_INSERTED, rows.order_by(items.c.position), include_defaults=False)


@cache
def finish_retaken_turn() -> Update:
    """Fold what was appended to the main transcript in the turn `next_turn` into its summary.

    Parameters: those of `finish_main_turn`.
    """
    return finish_main_turn(folded=True, written=True).where(_IS_OURS)


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


def _nobody_wrote() -> Sequence[ColumnElement[bool]]:
    """Whether a summary is the session's of the parameters, and nobody has written since its `turn`."""
    return (
        Summary.project_key == PROJECT,
        Summary.session_id == SESSION,
        Summary.turn == bindparam("turn", type_=BigInteger),
        Summary.folded_id.is_not_distinct_from(_newest_main_id()),
        ~_unclaimed(PROJECT, SESSION, SUBPATH).exists(),
    )


def _unclaimed(
    project_key: ColumnElement[str] | InstrumentedAttribute[str],
    session_id: ColumnElement[str] | InstrumentedAttribute[str],
    subpath: ColumnElement[str] | str,
) -> Select[int]:
    """A transcript's rows that other writers inserted, and nobody has claimed."""
    unclaimed = aliased(Entry)
    return select(_ONE).where(
        unclaimed.project_key == project_key,
        unclaimed.subpath == subpath,
        unclaimed.session_id == session_id,
        unclaimed.dedup_key.is_(None),
    )


_NEXT_TURN = bindparam("next_turn", type_=BigInteger)
_IS_OURS = _summaries.c.turn == _NEXT_TURN
"""Whether a summary's turn is the one that this transaction has taken."""

_INSERTED = ["project_key", "session_id", "subpath", "dedup_key", "entry", "verbatim", "facts"]


def _given_entries() -> Any:  # noqa: ANN401 - a table-valued function has no useful type
    """The parameter `entries` as rows (value, position): one JSON document is the quickest way in."""
    return (
        func.jsonb_array_elements(cast(bindparam("entries", type_=Text), JSONB))
        .table_valued(column("value", JSONB), with_ordinality="position", name="items")
        .render_derived()
    )


def _member(items: Any, index: int) -> ColumnElement[str]:  # noqa: ANN401 - as above
    member: ColumnElement[str] = items.c.value.op("->>", return_type=Text())(literal_column(str(index)))
    return member


def _columns_of(items: Any) -> tuple[ColumnElement[Any], ...]:  # noqa: ANN401 - as above
    """dedup_key, entry, verbatim, facts."""
    facts, entry = (items.c.value.op("->", return_type=JSONB())(literal_column(index)) for index in "34")
    return _member(items, 1), entry, _member(items, 2), func.nullif(facts, literal_column("'null'"))


def _newest_id_of_main() -> ScalarSelect[int]:
    return select(func.max(Entry.id)).where(*of_transcript(MAIN)).scalar_subquery()


def _newest_main_id() -> ScalarSelect[int]:
    """The newest main id of the summary that a statement is at, unless it is older than the folded one.

    One probe of the index. Without the lower bound PostgreSQL looks at each row of the session on a page of
    the index before it gives the first, which takes three times as long.
    """
    return _max_main_id().where(Entry.id >= func.coalesce(Summary.folded_id, 0)).scalar_subquery()


def _max_main_id() -> Select[int]:
    return (
        select(func.max(Entry.id))
        .where(
            Entry.project_key == Summary.project_key,
            Entry.session_id == Summary.session_id,
            Entry.subpath == MAIN,
        )
        .correlate(Summary)
    )


def _paging() -> Select[str]:
    first = cast(postgresql.array([MAIN] * (_SHORT + 1)), ARRAY(Text))
    pages = select(first.label("subpaths")).cte("pages", recursive=True)
    found = func.cardinality(pages.c.subpaths)
    page = (
        select(Entry.subpath)
        .where(Entry.project_key == PROJECT, Entry.session_id == SESSION)
        .where(Entry.subpath > pages.c.subpaths[found])
        .order_by(Entry.subpath)
        .limit(case((found > _SHORT, _PAGE), else_=_SHORT + 1))
        .correlate(pages)
        .subquery("page")
    )
    distinct = select(page.c.subpath).group_by(page.c.subpath).order_by(page.c.subpath)
    following = select(func.array(distinct.correlate(pages).scalar_subquery())).where(found > 0)
    pages = pages.union_all(following)
    every = select(func.unnest(pages.c.subpaths).label("subpath")).subquery("every")
    return select(every.c.subpath).where(every.c.subpath != MAIN)


_PAGE = 100
"""Entries of several subpaths."""
_SHORT = 3
"""Subpaths on a page, of which there are more where they are short."""


def _hopping() -> Select[str]:
    def next_after(subpath: ColumnElement[str]) -> ScalarSelect[str]:
        return (
            select(func.min(Entry.subpath))
            .where(Entry.project_key == PROJECT, Entry.session_id == SESSION, Entry.subpath > subpath)
            .scalar_subquery()
        )

    hops = select(next_after(literal(MAIN)).label("subpath")).cte("hops", recursive=True)
    hops = hops.union_all(select(next_after(hops.c.subpath)).where(hops.c.subpath.is_not(None)))
    return select(hops.c.subpath).where(hops.c.subpath.is_not(None))
