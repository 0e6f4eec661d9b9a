"""The statements of import, export and pruning, pure and built once, as those of `statements` are."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import cast as cast_type

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    cast,
    false,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.engine import Dialect

from boocode_sessions._core.codec import LINE_KEYS, OTHER_KEYS
from boocode_sessions._core.sql.functions import UTCDateTime, storage_clock
from boocode_sessions._core.statements.contract import (
    PROJECT,
    SESSION,
    Entry,
    Summary,
    exact_text,
    of_transcript,
)

_summaries = cast_type("Table", Summary.__table__)


@cache
def select_clock() -> Select[datetime]:
    """The storage clock. Shape: one row (now,)."""
    return select(storage_clock())


# Import


@cache
def select_keys() -> Select[str | None]:
    """Which of the idempotency keys `keys` a transcript has. Shape: (dedup_key,) per key.

    Served by: claude_session_entries_dedup_idx.
    """
    return select(Entry.dedup_key).where(
        *of_transcript(), Entry.dedup_key.in_(bindparam("keys", expanding=True, type_=Text))
    )


@cache
def select_without_uuid() -> Select[str | None, str | None]:
    """The entries after id `after` that have no uuid for an idempotency key, and perhaps no key at all.

    Shape: (dedup_key, exact JSON text, or None where the key is made of the content) per entry.
    Served by: claude_session_entries_transcript_idx.
    """
    of_content = Entry.dedup_key.startswith(LINE_KEYS, autoescape=True)
    return (
        select(Entry.dedup_key, case((of_content, None), else_=exact_text()))
        .where(
            *of_transcript(),
            Entry.id > bindparam("after", type_=BigInteger),
            or_(Entry.dedup_key.is_(None), Entry.dedup_key.startswith(OTHER_KEYS, autoescape=True)),
        )
        .execution_options(yield_per=100)
    )


def copy_entries(dialect: Dialect, schema: str | None) -> str:
    """PostgreSQL's COPY of entries: the transcript's key, the members of EncodedEntry, created_at."""
    table = dialect.identifier_preparer.quote(Entry.__tablename__)
    if schema:
        table = f"{dialect.identifier_preparer.quote_schema(schema)}.{table}"
    columns = "project_key, session_id, subpath, dedup_key, entry, verbatim, facts, created_at"
    return f"COPY {table} ({columns}) FROM STDIN"


# Export


@cache
def select_written_sessions(
    *, of_project: bool = False, of_session: bool = False
) -> Select[str, str, datetime | None]:
    """Every session that anybody has written to. Shape: (project_key, session_id, last write) per session.

    The last write is that to the main transcript, or of a row that nobody has claimed; None where neither is.
    Grows with the sessions and the unclaimed rows.
    Served by: claude_session_summaries_pkey, claude_session_entries_unclaimed_idx.
    """
    ours = select(Summary.project_key, Summary.session_id, Summary.updated_at.label("at"))
    others = select(Entry.project_key, Entry.session_id, Entry.created_at.label("at")).where(
        Entry.dedup_key.is_(None)
    )
    if of_project:
        ours, others = ours.where(Summary.project_key == PROJECT), others.where(Entry.project_key == PROJECT)
    if of_session:
        ours, others = ours.where(Summary.session_id == SESSION), others.where(Entry.session_id == SESSION)
    written = union_all(ours, others).subquery("written")
    key = (written.c.project_key, written.c.session_id)
    return select(*key, func.max(written.c.at, type_=UTCDateTime())).group_by(*key).order_by(*key)


@cache
def select_last_write() -> Select[datetime]:
    """When a transcript's newest entry was stored. Shape: (created_at,); no row if it was never written."""
    return select(Entry.created_at).where(*of_transcript()).order_by(Entry.id.desc()).limit(1)


# Pruning


@cache
def select_prunable(*, of_project: bool = False) -> Select[str, str]:
    """Sessions whose main transcript was last written before a time, but for each project's newest.

    Parameters: `before`, `keep` (how many are the newest), and the project's.
    Shape: (project_key, session_id) per session, the oldest first. Their subagents may have written since.
    One without a main transcript comes as the oldest. Grows with the sessions and the unclaimed rows.
    """
    written = select_written_sessions(of_project=of_project).order_by(None).subquery("last")
    project, session_id, at = written.c
    rank = func.row_number().over(partition_by=project, order_by=(at.desc().nulls_last(), session_id))
    ranked = select(project, session_id, at.label("at"), rank.label("rank")).subquery("ranked")
    key = (ranked.c.project_key, ranked.c.session_id)
    return (
        select(*key)
        .outerjoin(Summary, (Summary.project_key == key[0]) & (Summary.session_id == key[1]))
        .where(
            func.coalesce(Summary.held, false()) == false(),
            ranked.c.rank > bindparam("keep", type_=Integer),
            or_(ranked.c.at.is_(None), ranked.c.at < bindparam("before", type_=UTCDateTime())),
        )
        .order_by(ranked.c.at.asc().nulls_first(), *key)
    )


@cache
def select_retained() -> Select[bool, datetime | None]:
    """What a session's summary says about keeping it. Shape: (held, updated_at); no row without a summary."""
    return select(Summary.held, Summary.updated_at).where(
        Summary.project_key == PROJECT, Summary.session_id == SESSION
    )


@cache
def set_held() -> Update:
    """Exempt a session from pruning, or no more. Parameters: the session's, `hold`."""
    return (
        update(_summaries)
        .where(_summaries.c.project_key == PROJECT, _summaries.c.session_id == SESSION)
        .values(held=bindparam("hold", type_=Boolean))
    )


@cache
def select_content(dialect: str) -> Select[int, int, datetime]:
    """All the entries of one session.

    Shape: one row (how many, their stored bytes, the newest's time, which is None without any).
    """
    size = func.coalesce(func.sum(_stored_bytes(dialect)), 0)
    return select(func.count(), size, func.max(Entry.created_at)).where(
        Entry.project_key == PROJECT, Entry.session_id == SESSION
    )


def _stored_bytes(dialect: str) -> ColumnElement[int]:
    size = func.length if dialect == "sqlite" else func.pg_column_size
    entry = cast(Entry.entry, LargeBinary) if dialect == "sqlite" else Entry.entry
    return func.coalesce(size(entry), 0) + func.coalesce(size(Entry.verbatim), 0)
