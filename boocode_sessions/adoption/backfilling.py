"""Completes rows that were adopted in place, or that another program inserted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from sqlalchemy import Select, Text, func, literal_column, or_, select

from boocode_sessions._core import fold
from boocode_sessions._core.append.place import Placed, Summary, place_rows
from boocode_sessions._core.append.plan import PAGE_ROWS
from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.indexing import fill_derived_tables
from boocode_sessions._core.keys import MAIN, Transcript
from boocode_sessions._core.statements.parameters import Entry, unplaced
from boocode_sessions._core.statements.read import newest_main_exists
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.adoption.transcripts import (
    OnProgress,
    Progress,
    after,
    each_transcript,
    fold_main,
    lock_at,
)
from boocode_sessions.models import ClaudeSession


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What `backfill` did."""

    placed: int
    """Entries that got a position and an idempotency key."""
    folded: int
    """Sessions that got a summary."""


@checked
def backfill(
    bind: Bind,
    *,
    schema: str | None = None,
    encryption: Cipher | None = None,
    batch_rows: int = PAGE_ROWS,
    progress: OnProgress = lambda _: None,
) -> Backfilled:
    """Place rows of other writers, fold their sessions' summaries, and fill the tables that queries read.

    Nobody has to call it: the next append to each session places and folds too, and queries fill their
    tables. After it that append is quick, and listings need not read the transcripts. Summaries need the SDK.

    Args:
        bind: An Engine or sessionmaker; or a Connection or Session, over which it fills no tables for
            queries.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one, with reads_plain=True, since other
            programs do not encrypt.
        batch_rows: Most rows that one transaction places.
        progress: Called after each batch.

    Raises:
        SessionStoreError: The database can't be read or written. Finished batches stay.
    """
    check_at_least(1, batch_rows=batch_rows)
    unit_of_work = UnitOfWork(bind, schema, encryption)
    placed = folded = 0
    count = select(func.count()).select_from(Entry).where(unplaced())
    total = unit_of_work.scan(
        "count the rows to place", lambda connection: connection.select(count).scalar_one()
    )
    for main in each_transcript(unit_of_work, _next_unplaced()):
        rows = batch_rows
        while rows == batch_rows:
            rows = unit_of_work.write(
                f"place rows of {main}", partial(_place, main, batch_rows), bounded=False
            ).rows
            placed += rows
            progress(Progress(placed, max(total, placed)))
    for main in each_transcript(unit_of_work, _next_unfolded()):
        if not fold.available():
            break
        folded += unit_of_work.write(f"fold {main}", partial(fold_main, main), bounded=False)
    if unit_of_work.own:
        fill_derived_tables(unit_of_work)
    return Backfilled(placed, folded)


def _place(main: Transcript, most: int, connection: StoreConnection) -> Placed:
    next_position = lock_at(connection, main)
    return place_rows(connection, main.session, next_position, most, summary=Summary.DROP)


@cache
def _next_unplaced() -> Select[str, str, str]:
    """Select the next session with unplaced rows. Served by: claude_session_entries_unplaced_idx."""
    order = (Entry.project_key, Entry.session_id)
    return (
        select(*order, literal_column("''", Text)).where(unplaced(), after(*order)).order_by(*order).limit(1)
    )


@cache
def _next_unfolded() -> Select[str, str, str]:
    """Select the next session whose summary is missing or is not the fold of its main transcript."""
    order = (ClaudeSession.project_key, ClaudeSession.session_id)
    main = (
        select(Entry.id)
        .where(
            Entry.project_key == ClaudeSession.project_key,
            Entry.session_id == ClaudeSession.session_id,
            Entry.subpath == MAIN,
        )
        .correlate(ClaudeSession)
    )
    return (
        select(*order, literal_column("''", Text))
        .where(
            after(*order),
            main.exists(),
            or_(ClaudeSession.data.is_(None), ~newest_main_exists()),
        )
        .order_by(*order)
        .limit(1)
    )
