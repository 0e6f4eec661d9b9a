"""Finishing the rows that were adopted in place, or that another program inserted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Integer,
    Row,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    func,
    literal_column,
    select,
    update,
)

from boocode_sessions._core.codec import key_and_facts
from boocode_sessions._core.keys import Session, Transcript
from boocode_sessions._core.operations import PAGE_ROWS, Tables, claim, later
from boocode_sessions._core.sql.functions import text_json
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.statements.contract import in_session
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.adoption.transcripts import (
    OnProgress,
    Progress,
    after,
    each_transcript,
    finish_turn,
    fold_main,
    take_turn,
)
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.models import ClaudeSessionSummary as Summary


class Backfilled(NamedTuple):
    """What `backfill` did."""

    claimed: int
    """Entries that have got their idempotency key."""
    folded: int
    """Sessions that have got their summary."""


def backfill(
    bind: Bind,
    *,
    schema: str | None = None,
    batch_rows: int = PAGE_ROWS,
    progress: OnProgress = lambda _: None,
) -> Backfilled:
    """Give the rows of other writers their idempotency keys, and their sessions a summary.

    Without it the next append to each session does the same; with it that append is quick, and listings need
    not read the transcripts. `progress` is called after each batch. Summaries need the SDK to be installed.
    """
    transactions = Transactions(bind, schema)
    claimed = folded = 0
    count = select(func.count()).select_from(Entry).where(Entry.dedup_key.is_(None))
    total = transactions.read("count the rows to claim", lambda tables: tables.select(count).scalar_one())
    for transcript in each_transcript(transactions, _next_unclaimed()):
        rows = batch_rows
        while rows == batch_rows:
            rows = transactions.write(f"claim rows of {transcript}", partial(_claim, transcript, batch_rows))
            claimed += rows
            progress(Progress(claimed, max(total, claimed)))
    for main in each_transcript(transactions, _next_unfolded()):
        folded += transactions.write(f"fold {main}", partial(fold_main, main))
    note_facts(transactions)
    return Backfilled(claimed, folded)


def note_facts(transactions: Transactions) -> None:
    """Give the claimed rows that have no facts theirs: copied ones, and those of which they were taken away.

    Some can have none (see `codec.facts_of`), and are looked at each time.
    """
    after = 0

    def find(tables: Tables) -> Sequence[Row[int, str, str]]:
        return tables.select(_select_unread(), {"after": after, "most": PAGE_ROWS}).all()

    while rows := transactions.read("find the rows without facts", find):
        after = rows[-1][0]
        by_session: dict[Session, list[int]] = {}
        for row_id, project_key, session_id in rows:
            by_session.setdefault(Session(project_key, session_id), []).append(row_id)
        for session, ids in by_session.items():
            transactions.write(f"note the facts of {session}", partial(_note, session, ids))


def _note(session: Session, ids: Sequence[int], tables: Tables) -> None:
    tables.select(statements.take_turn(tables.dialect), in_session(session)).one()
    rows = tables.select(_select_texts(), {"ids": ids})
    found = [(row_id, facts) for row_id, text in rows if (facts := key_and_facts(text)[1]) is not None]
    if found:
        tables.write(_update_facts(), [{"row_id": row_id, "found": facts} for row_id, facts in found])


@cache
def _select_unread() -> Select[int, str, str]:
    """The `most` claimed rows after id `after` that have no facts. Shape: (id, project_key, session_id).

    Served by: claude_session_entries_unread_idx.
    """
    return (
        select(Entry.id, Entry.project_key, Entry.session_id)
        .where(
            Entry.facts.is_(None),
            Entry.dedup_key.is_not(None),
            Entry.id > bindparam("after", type_=BigInteger),
        )
        .order_by(Entry.id)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def _select_texts() -> Select[int, str]:
    ids = bindparam("ids", expanding=True, type_=BigInteger)
    return select(Entry.id, statements.exact_text()).where(Entry.id.in_(ids), Entry.facts.is_(None))


@cache
def _update_facts() -> Update:
    entries = cast("Table", Entry.__table__)
    found = text_json(bindparam("found", type_=Text))
    return update(entries).where(entries.c.id == bindparam("row_id", type_=BigInteger)).values(facts=found)


def _claim(transcript: Transcript, most: int, tables: Tables) -> int:
    updated_at = take_turn(tables, transcript)
    claimed = claim(tables, transcript, most)
    if claimed.rows:
        finish_turn(tables, transcript, later(updated_at, claimed.newest))
    return claimed.rows


@cache
def _next_unclaimed() -> Select[str, str, str]:
    """Served by: claude_session_entries_unclaimed_idx."""
    order = (Entry.project_key, Entry.subpath, Entry.session_id)
    return (
        select(Entry.project_key, Entry.session_id, Entry.subpath)
        .where(Entry.dedup_key.is_(None), after(*order))
        .order_by(*order)
        .limit(1)
    )


@cache
def _next_unfolded() -> Select[str, str, str]:
    """Sessions with main entries of which the summary is not the true fold."""
    newest = statements.any_main_id()
    order = (Summary.project_key, Summary.session_id)
    return (
        select(Summary.project_key, Summary.session_id, literal_column("''", Text))
        .where(after(*order), newest.is_not(None), Summary.folded_id.is_distinct_from(newest))
        .order_by(*order)
        .limit(1)
    )
