"""What an append executes.

The plan of every append is the same: `advance` the session's counter from the position that we know, then
insert the entries with their positions. `append_in_one` is that plan as one statement. Where we do not know
the position, or another program has written, `lock_session` and what follows it come first.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
from sqlalchemy.types import TypeEngine

from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.sql.functions import (
    clock_microseconds,
    earlier_of,
    hex_bytes,
    later_of,
    statement_clock,
    text_json,
    text_time,
)
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import (
    ENTRIES,
    PROJECT,
    SESSION,
    SESSIONS,
    SUBPATH,
    Entry,
    exact_text,
    is_session,
    literal_unplaced,
    of_session,
    of_transcript,
    placed,
    unplaced,
)
from boocode_sessions._core.statements.read import ONE

_KNOWN = bindparam("known_position", type_=BigInteger)
_NEXT = bindparam("next_position", type_=BigInteger)

COLUMNS: dict[str, TypeEngine[Any]] = {
    "dedup_key": LargeBinary(),
    "entry": Text(),
    "verbatim": Text(),
    "size": Integer(),
    "type": Text(),
    "said_at": Text(),
    "message_id": Text(),
    "request_id": Text(),
    "model": Text(),
    "input_tokens": Integer(),
    "output_tokens": Integer(),
    "cache_read_tokens": Integer(),
    "cache_write_tokens": Integer(),
    "cache_write_1h_tokens": Integer(),
    "tool_name": Text(),
    "tool_use_id": Text(),
    "tool_count": SmallInteger(),
    "failed": Boolean(),
    "forked_from": Text(),
}
"""What an encoded entry gives for each column, in the order of `EncodedEntry.row`, and how it is sent."""


class PlanKind(NamedTuple):
    """Which of the statements of a plan it is."""

    main: bool
    """The main transcript's, which has the summary and the time; else a subagent's."""
    guarded: bool
    """Only where no other program has inserted into the session, or deleted the transcript's newest entry.
    Who has locked the session has looked already."""


# When we know the session


@cache
def append_in_one(kind: PlanKind) -> Select[int]:
    """The whole append as one statement: one row (1,) when it was done, no row when not.

    Parameters: those of `advance`; `opens`, whether the first entry begins its transcript; `entries`, a JSON
    array that has for each entry an array of COLUMNS, the key as hexadecimal. A known idempotency key fails
    the statement. PostgreSQL only.
    """
    advancing = advance(kind)
    if kind.guarded:
        # Never waits for another transaction's lock: `run_locked` does, on a connection of its own.
        row = SESSIONS.alias("row")
        free = select(ONE).where(row.c.project_key == PROJECT, row.c.session_id == SESSION)
        advancing = advancing.where(free.with_for_update(skip_locked=True).exists())
    advanced = advancing.cte("advanced")
    items = (
        func.jsonb_array_elements(cast(bindparam("entries", type_=Text), JSONB))
        .table_valued(column("value", JSONB), with_ordinality="place", name="items")
        .render_derived()
    )
    opens = case((and_(bindparam("opens", type_=Boolean), items.c.place == ONE), true()))
    rows = select(
        PROJECT,
        SESSION,
        SUBPATH,
        _KNOWN + items.c.place - ONE,
        advanced.c.at,
        opens,
        *(_member(items.c.value, place, name) for place, name in enumerate(COLUMNS)),
    ).join_from(advanced, items, true())
    names = ["project_key", "session_id", "subpath", "position", "created_at", "is_first", *COLUMNS]
    inserted = insert(ENTRIES).from_select(names, rows, include_defaults=False).cte("inserted")
    return select(ONE).select_from(advanced).add_cte(inserted)


def _member(value: ColumnElement[Any], place: int, name: str) -> ColumnElement[Any]:
    """A member of one of the arrays of `entries`, as its column takes it."""
    at: ColumnElement[int] = literal_column(str(place))
    if name == "entry":
        return value.op("->", return_type=JSONB())(at)
    text: ColumnElement[Any] = value.op("->>", return_type=Text())(at)
    if name == "dedup_key":
        return hex_bytes(text)
    if name == "said_at":
        return text_time(text)
    kind = COLUMNS[name]
    return text if isinstance(kind, Text) else cast(text, kind)


@cache
def advance(kind: PlanKind) -> ReturningUpdate[Any]:
    """Compare a session's next position with the one that we know, and advance it over what is appended.

    Parameters: those of `in_transcript`; known_position, next_position; the counts of what is added;
    `summary` for the main transcript; `newest_position`, the transcript's, when guarded.
    Shape: one row (the time at which it was written,) when it was advanced; no row when not.
    """
    c = SESSIONS.c
    values: dict[str, Any] = {
        "next_position": _NEXT,
        "entries": c.entries + bindparam("added_entries", type_=BigInteger),
        "subagents": c.subagents + bindparam("added_subagents", type_=Integer),
        "bytes": c.bytes + bindparam("added_bytes", type_=BigInteger),
        "tokens": c.tokens + bindparam("added_tokens", type_=BigInteger),
        "first_said_at": earlier_of(c.first_said_at, text_time(bindparam("first_said", type_=Text))),
        "last_said_at": later_of(c.last_said_at, text_time(bindparam("last_said", type_=Text))),
    }
    if kind.main:
        values |= {
            "main_position": _NEXT - ONE,
            "updated_at": later_of(c.updated_at, statement_clock()),
            "data": bindparam("summary", type_=Text),
        }
    written_at = type_coerce(c.updated_at if kind.main else statement_clock(), UTCDateTime)
    conditions = [*is_session(), c.next_position == _KNOWN]
    if kind.guarded:
        newest = aliased(Entry)
        others = aliased(Entry)
        conditions += [
            select(ONE)
            .where(
                newest.project_key == PROJECT,
                newest.session_id == SESSION,
                newest.subpath == SUBPATH,
                newest.position == bindparam("newest_position", type_=BigInteger),
            )
            .exists(),
            ~select(ONE)
            .where(
                others.project_key == PROJECT,
                others.session_id == SESSION,
                others.position == literal_unplaced(),
            )
            .exists(),
        ]
    return update(SESSIONS).where(*conditions).values(values).returning(written_at.label("at"))


@cache
def insert_entries() -> Insert:
    """Insert entries with their positions. One parameter set per entry: `in_transcript`, position,
    created_at, is_first, and those of COLUMNS. A known idempotency key fails it."""
    given: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"new_{name}", type_=kind) for name, kind in COLUMNS.items()
    }
    given["entry"] = text_json(given["entry"])
    given["said_at"] = text_time(given["said_at"])
    return insert(ENTRIES).values(
        project_key=PROJECT,
        session_id=SESSION,
        subpath=SUBPATH,
        position=bindparam("new_position", type_=BigInteger),
        created_at=bindparam("new_created_at", type_=UTCDateTime),
        is_first=bindparam("new_is_first", type_=Boolean),
        **given,
    )


# When we do not, or others have written


@cache
def lock_session(dialect: str) -> ReturningInsert[int, int | None, str | None]:
    """Lock a session's row until the commit; make it where it is missing.

    A write, and so as the first statement of a transaction makes SQLite take its lock before it reads.
    Parameters: the session's; on SQLite `now`, in Unix epoch microseconds, since its own clock has
    milliseconds, and a session that is deleted and begun again within one would repeat its positions.
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
def select_standing() -> Select[int | None, int | None, bool]:
    """Where a transcript and its session stand.

    Shape: one row (the transcript's newest placed position, the main transcript's, whether other programs
    have inserted into the session).
    """
    newest = select(func.max(Entry.position)).where(*of_transcript(), placed()).scalar_subquery()
    newest_main = select(func.max(Entry.position)).where(*of_transcript(MAIN), placed()).scalar_subquery()
    others = select(ONE).where(*of_session(), unplaced())
    return select(newest, newest_main, others.exists())


@cache
def select_last_call() -> Select[str | None, str | None, int]:
    """The last API call of a transcript. Shape: (message_id, request_id, tokens so far); no row without one.

    Served by: claude_session_entries_position_idx, backwards from the newest entry.
    """
    return (
        select(Entry.message_id, Entry.request_id, tokens_of(Entry))
        .where(*of_transcript(), placed(), Entry.message_id.is_not(None))
        .order_by(Entry.position.desc())
        .limit(1)
    )


def tokens_of(entry: Any) -> ColumnElement[int]:  # noqa: ANN401 - the model, or a subquery's columns
    """The tokens of all kinds that a line says. Those kept for an hour are among those that were cached."""
    kinds = (entry.input_tokens, entry.output_tokens, entry.cache_read_tokens, entry.cache_write_tokens)
    first, *rest = (func.coalesce(cast(kind, BigInteger), literal_column("0")) for kind in kinds)
    return sum(rest, first)


@cache
def select_known() -> Select[bytes | None, str]:
    """Which of the idempotency keys `keys` a transcript has. Shape: (dedup_key, exact JSON text) per entry.

    Served by: claude_session_entries_dedup_idx.
    """
    return select(Entry.dedup_key, exact_text()).where(*of_transcript(), has_key())


@cache
def select_keys() -> Select[bytes | None]:
    """As `select_known`, without the texts. Shape: (dedup_key,) per entry."""
    return select(Entry.dedup_key).where(*of_transcript(), has_key())


def has_key() -> ColumnElement[bool]:
    """Condition: the entry has one of the idempotency keys `keys`."""
    return Entry.dedup_key.in_(bindparam("keys", expanding=True, type_=LargeBinary))


@cache
def select_unplaced() -> Select[int, str, str, Any]:
    """The `most` rows of a session, by their ids, that other programs inserted.

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
    """Give rows their place. One parameter set per row: `in_project`, row_id, and those that
    `insert_entries` has beside the entry itself."""
    given: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"new_{name}", type_=kind)
        for name, kind in COLUMNS.items()
        if name not in {"entry", "verbatim"}
    }
    given["said_at"] = text_time(given["said_at"])
    return (
        update(ENTRIES)
        .where(ENTRIES.c.project_key == PROJECT, ENTRIES.c.id == bindparam("row_id", type_=BigInteger))
        .values(
            position=bindparam("new_position", type_=BigInteger),
            is_first=bindparam("new_is_first", type_=Boolean),
            **given,
        )
    )


@cache
def select_summary() -> Select[str | None]:
    """A session's folded summary as JSON text. Shape: one row (data,)."""
    return select(SESSIONS.c.data).where(*is_session())


@cache
def recount_session(*, keep_summary: bool) -> Update:
    """Count a session's placed entries anew, and set its counter and its time.

    Parameters: the session's; next_position; `written_at`, the newest main entry's time, or None to keep the
    session's; and `summary`, unless that is kept.
    """
    c = SESSIONS.c
    mine = (*of_session(), placed())

    def counted(what: Any, *conditions: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a scalar subquery of any type
        return select(what).where(*mine, *conditions).scalar_subquery()

    # An answer without a message id is a call of its own.
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
            next_position=_NEXT,
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
