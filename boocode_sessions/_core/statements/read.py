"""SQL statements with which the contract's methods read. They are pure, built once, and take parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
    union_all,
)
from sqlalchemy.orm import aliased

from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.sql.functions import epoch_ms, json_text
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    Entry,
    KeyColumn,
    exact_text,
    literal_unplaced,
    of_session,
    of_transcript,
    unplaced,
)
from boocode_sessions.models import COMPATIBLE_RANGE, VERSION_TABLE, ClaudeSession

ONE = literal_column("1", Integer)


@cache
def select_entries(*, encrypted: bool = False) -> Select[*tuple[Any, ...]]:
    """Select one transcript, oldest first. Rows of other programs that nobody has placed come last, by id.

    Shape: (text of `entry`, or None if there is a `verbatim`; `verbatim`) per entry. The one that is not None
    is the exact JSON text. No row if the transcript was never written. `encrypted` adds position and
    dedup_key, to which the text is bound.
    Served by: claude_session_entries_position_idx.
    """
    in_entry = case((Entry.verbatim.is_(None), json_text(Entry.entry)))
    stored_at = (Entry.position, Entry.dedup_key) if encrypted else ()
    return (
        select(in_entry, Entry.verbatim, *stored_at)
        .where(*of_transcript())
        .order_by(Entry.position, Entry.id)
    )


def comes_after(
    of_its_session: Sequence[ColumnElement[bool]], next_position: ColumnElement[int] | None = None
) -> ColumnElement[bool]:
    """Condition: the entry comes after the one at `after_position` and `after_id`.

    If that one had no position when it was read, it may have one by now, so it is looked up.
    `next_position` is the session's: an entry that is not below it was deleted with its session, which began
    again by a clock that was set back, and all entries with newer ids come after it. On a standby that lags
    behind the entry, none has a newer id.
    """
    position = bindparam("after_position", type_=BigInteger)
    row_id = bindparam("after_id", type_=BigInteger)
    placed = select(Entry.position).where(*of_its_session, Entry.id == row_id).scalar_subquery()
    now_at = case((position == literal_unplaced(), placed.correlate(None)))
    at: ColumnElement[int] = func.coalesce(now_at, position)
    if next_position is None:
        return tuple_(Entry.position, Entry.id) > tuple_(at, row_id)
    deleted = and_(position != literal_unplaced(), position >= next_position)
    at = case((deleted, literal_column("0", BigInteger)), else_=at)
    return and_(tuple_(Entry.position, Entry.id) > tuple_(at, row_id), or_(not_(deleted), Entry.id > row_id))


@cache
def select_page() -> Select[int, int, str, bytes | None]:
    """Select the `most` entries of one transcript that follow the one at `after_position` and `after_id`.

    Shape: (position, id, exact JSON text, dedup_key) per entry, oldest first.
    Served by: claude_session_entries_position_idx.
    """
    return (
        select(Entry.position, Entry.id, exact_text(), Entry.dedup_key)
        .where(*of_transcript(), comes_after(of_session()))
        .order_by(Entry.position, Entry.id)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def select_sessions() -> Select[str, int]:
    """Select every session of a project that has a main entry. Shape: (session_id, mtime) per session.

    This is a GROUP BY over one row per session that we wrote, and over the rows that other programs inserted
    and nobody has placed. Its cost doesn't grow with the number of entries.
    Served by: claude_sessions_pkey, claude_session_entries_unplaced_idx, and a probe of
    claude_session_entries_position_idx per session, because another program may have deleted its entries.
    """
    ours = select(ClaudeSession.session_id, ClaudeSession.updated_at.label("at")).where(
        ClaudeSession.project_key == PROJECT,
        ClaudeSession.main_position.is_not(None),
        or_(newest_main_exists(PROJECT), _select_main(PROJECT).exists()),
    )
    others = select(Entry.session_id, Entry.created_at.label("at")).where(
        Entry.project_key == PROJECT, Entry.subpath == MAIN, unplaced()
    )
    written = union_all(ours, others).subquery("written")
    return select(written.c.session_id, epoch_ms(func.max(written.c.at))).group_by(written.c.session_id)


@cache
def select_summaries() -> Select[str, int, str | None]:
    """Select the summaries of a project that are the true fold of their transcripts.

    Shape: (session_id, mtime, data as JSON text) per session. A summary that misses an entry is left out,
    because its `mtime` may still look fresh. The SDK then reads the transcript itself.
    """
    return select(ClaudeSession.session_id, epoch_ms(ClaudeSession.updated_at), ClaudeSession.data).where(
        ClaudeSession.project_key == PROJECT, is_summary_current(PROJECT)
    )


@cache
def select_subkeys() -> Select[str]:
    """Select the distinct subpaths of a session, except the main one. Shape: (subpath,) per transcript.

    Served by: claude_session_entries_first_idx, which has one row per transcript, and
    claude_session_entries_unplaced_idx, which has the rows that other programs inserted.
    """
    ours = select(Entry.subpath).where(*of_session(), Entry.is_first.is_not(None), Entry.subpath != MAIN)
    others = select(Entry.subpath).where(*of_session(), unplaced(), Entry.subpath != MAIN)
    return select(union(ours, others).subquery("subkeys"))


@cache
def select_versions() -> Select[str, str | None]:
    """Select the schema's version, and the range of versions whose packages work with it.

    Shape: (version, range as "0001..0003"); no row in a table that Alembic has just made.
    """
    table = Table(VERSION_TABLE, MetaData(), Column("version_num", String), Column(COMPATIBLE_RANGE, String))
    return select(*table.c)


def is_summary_current(project_key: KeyColumn = ClaudeSession.project_key) -> ColumnElement[bool]:
    """Condition on a session's row: `data` covers the whole main transcript, unplaced rows too.

    `project_key`: the parameter, if the statement has one.
    """
    return and_(
        ClaudeSession.data.is_not(None),
        newest_main_exists(project_key),
        ~_select_main(project_key, literal_unplaced()).exists(),
    )


def newest_main_exists(project_key: KeyColumn = ClaudeSession.project_key) -> ColumnElement[bool]:
    """Condition on a session's row: no other program has deleted its newest main entry. One probe."""
    newest = _select_main(project_key, ClaudeSession.main_position)
    # Not EXISTS, which PostgreSQL turns into a join over all of the project's entries.
    return newest.limit(1).scalar_subquery().is_not(None)


def _select_main(project_key: KeyColumn, *positions: Any) -> Select[int]:  # noqa: ANN401 - a column or a literal
    """Select the main entries of a session's row, or only those at a position."""
    entry = aliased(Entry)
    found = select(ONE).where(
        entry.project_key == project_key,
        entry.session_id == ClaudeSession.session_id,
        entry.subpath == MAIN,
        *(entry.position == position for position in positions),
    )
    return found.correlate(ClaudeSession)
