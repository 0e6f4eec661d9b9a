"""SQL statements that an append executes before its plan on the slow path.

That path is for sessions whose position is unknown, or to which another program has written. `lock_session`
runs first. Then the transcript is read, unplaced rows get their positions, and known entries are dropped. The
plan of `append` follows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    Update,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.sql.functions import clock_microseconds, later_of
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.columns import from_parameters
from boocode_sessions._core.statements.parameters import (
    ENTRIES,
    PROJECT,
    SESSION,
    SESSIONS,
    Entry,
    exact_text,
    is_session,
    of_session,
    of_transcript,
    placed,
    unplaced,
)
from boocode_sessions._core.statements.read import ONE


@cache
def lock_session(dialect: str) -> ReturningInsert[int, int | None, str | None]:
    """Lock a session's row until the commit, and create it if there is none.

    This is a write. As the first statement of a transaction, it makes SQLite take its lock before it reads.
    Parameters: the session's; on SQLite also `now`, in Unix epoch microseconds. SQLite's own clock has only
    milliseconds: a session that is deleted and begun again within one would repeat its positions.
    Shape: one row (next_position, main_position, data).
    """
    upsert: postgresql.Insert | sqlite.Insert
    upsert = sqlite.insert(SESSIONS) if dialect == "sqlite" else postgresql.insert(SESSIONS)
    now = bindparam("now", type_=BigInteger) if dialect == "sqlite" else clock_microseconds()
    c = SESSIONS.c
    return (
        upsert.values(project_key=PROJECT, session_id=SESSION, next_position=now)
        .on_conflict_do_update(
            index_elements=[c.project_key, c.session_id], set_={"next_position": c.next_position}
        )
        .returning(c.next_position, c.main_position, c.data)
    )


@cache
def select_newest_positions() -> Select[int | None, int | None, bool]:
    """Select up to where a transcript and its session are placed.

    Shape: one row (the transcript's newest placed position, the main transcript's, whether the session has
    rows that other programs inserted and nobody has placed).
    """
    newest = select(func.max(Entry.position)).where(*of_transcript(), placed()).scalar_subquery()
    newest_main = select(func.max(Entry.position)).where(*of_transcript(MAIN), placed()).scalar_subquery()
    others = select(ONE).where(*of_session(), unplaced())
    return select(newest, newest_main, others.exists())


@cache
def select_last_call() -> Select[str | None, str | None, int]:
    """Select the last API call of a transcript. Shape: (message_id, request_id, tokens so far), or no row.

    Served by: claude_session_entries_position_idx, backwards from the newest entry.
    """
    return (
        select(Entry.message_id, Entry.request_id, tokens_of(Entry))
        .where(*of_transcript(), placed(), Entry.message_id.is_not(None))
        .order_by(Entry.position.desc())
        .limit(1)
    )


def tokens_of(entry: Any) -> ColumnElement[int]:  # noqa: ANN401 - the model, or a subquery's columns
    """Sum a line's tokens of all kinds. Cache writes include those kept for an hour."""
    kinds = (entry.input_tokens, entry.output_tokens, entry.cache_read_tokens, entry.cache_write_tokens)
    first, *rest = (func.coalesce(cast(kind, BigInteger), literal_column("0")) for kind in kinds)
    return sum(rest, first)


@cache
def select_known() -> Select[bytes | None, str, int]:
    """Select a transcript's entries that have one of the idempotency keys `keys`.

    Shape: (dedup_key, exact JSON text, position) per entry.

    Served by: claude_session_entries_dedup_idx.
    """
    return select(Entry.dedup_key, exact_text(), Entry.position).where(*of_transcript(), has_key())


@cache
def select_keys() -> Select[bytes | None]:
    """Like `select_known`, without the texts. Shape: (dedup_key,) per entry."""
    return select(Entry.dedup_key).where(*of_transcript(), has_key())


def has_key() -> ColumnElement[bool]:
    """Condition: the entry has one of the idempotency keys `keys`."""
    return Entry.dedup_key.in_(bindparam("keys", expanding=True, type_=LargeBinary))


@cache
def select_unplaced() -> Select[int, str, str, Any]:
    """Select the first `most` rows of a session, by id, that other programs inserted and nobody has placed.

    Shape: (id, subpath, exact JSON text, created_at) per row.
    """
    return (
        select(Entry.id, Entry.subpath, exact_text(), Entry.created_at)
        .where(*of_session(), unplaced())
        .order_by(Entry.id)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def place_entry() -> Update:
    """Give rows their positions and columns.

    Parameters, one set per row: `in_project`, row_id, and those of `insert_entries` without the entry itself.
    """
    values = {
        name: value for name, value in from_parameters("new_{}").items() if name not in {"entry", "verbatim"}
    }
    return (
        update(ENTRIES)
        .where(ENTRIES.c.project_key == PROJECT, ENTRIES.c.id == bindparam("row_id", type_=BigInteger))
        .values(
            position=bindparam("new_position", type_=BigInteger),
            is_first=bindparam("new_is_first", type_=Boolean),
            **values,
        )
    )


@cache
def select_summary() -> Select[str | None]:
    """Select a session's folded summary as JSON text. Shape: one row (data,)."""
    return select(SESSIONS.c.data).where(*is_session())


@cache
def recount_session(*, keep_summary: bool) -> Update:
    """Recount a session's placed entries, and set its counter and its time.

    Parameters: the session's; next_position; `written_at`, the newest main entry's time, or None to keep the
    session's; and `summary`, unless `keep_summary` is set.
    """
    c = SESSIONS.c
    mine = (*of_session(), placed())

    def counted(what: Any, *conditions: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a scalar subquery of any type
        return select(what).where(*mine, *conditions).scalar_subquery()

    # An assistant line without a message id counts as a call of its own.
    call = func.coalesce(Entry.message_id, cast(Entry.id, Text))
    calls = (
        select(func.max(tokens_of(Entry)).label("tokens"))
        .where(*mine, Entry.type == literal_column("'assistant'"))
        .group_by(call, Entry.request_id)
        .subquery("calls")
    )
    zero: ColumnElement[int] = literal_column("0")
    return (
        update(SESSIONS)
        .where(*is_session())
        .values(
            next_position=bindparam("next_position", type_=BigInteger),
            main_position=counted(func.max(Entry.position), Entry.subpath == MAIN),
            updated_at=later_of(c.updated_at, bindparam("written_at", type_=UTCDateTime)),
            data=c.data if keep_summary else bindparam("summary", type_=Text),
            entries=counted(func.count()),
            subagents=counted(func.count(), Entry.subpath != MAIN, Entry.is_first.is_not(None)),
            bytes=counted(func.coalesce(func.sum(Entry.size), zero)),
            tokens=select(func.coalesce(func.sum(calls.c.tokens), zero)).scalar_subquery(),
            first_said_at=counted(func.min(Entry.said_at)),
            last_said_at=counted(func.max(Entry.said_at)),
        )
    )
