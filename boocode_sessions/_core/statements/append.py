"""SQL statements that an append executes.

The plan of every append is the same: `advance` the session's counter from the position that we know, then
insert the entries at their positions. `append_in_one` does both in one statement. If we don't know the
position, or another program has written, the statements of `place` run first.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    Insert,
    Integer,
    Select,
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
    null,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from boocode_sessions._core.sql.functions import (
    earlier_of,
    elapsed_time,
    later_of,
    statement_clock,
    text_time,
)
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.columns import (
    COLUMNS,
    INSERTED,
    from_json,
    from_parameters,
    inserted_into,
)
from boocode_sessions._core.statements.parameters import (
    ENTRIES,
    PROJECT,
    SESSION,
    SESSIONS,
    SUBPATH,
    Entry,
    is_session,
    literal_unplaced,
)
from boocode_sessions._core.statements.read import ONE

_KNOWN = bindparam("known_position", type_=BigInteger)
_NEXT = bindparam("next_position", type_=BigInteger)
_ENTRIES = bindparam("entries", type_=Text)

_MAX_KINDS = 64
"""Maximum statements that a cache keeps. Each condition has statements of its own."""


class Condition:
    """A further condition for an append, with its own parameters. Create it once: it's compared by identity.

    It must lock the row that it depends on (FOR SHARE). Otherwise the row could change before the commit.
    """

    def __init__(self, holds: ColumnElement[bool]) -> None:
        self.holds = holds


class PlanKind(NamedTuple):
    """Selects one variant of a plan's statements."""

    main: bool
    """True for the main transcript, which has the summary and the time; False for a subagent's."""
    guarded: bool
    """True if the append must not land after another program has inserted into the session or deleted the
    transcript's newest entry. False for a writer that has locked the session and already looked."""
    condition: Condition | None = None
    """A further condition. For an agent: its host still has the chat."""


@lru_cache(_MAX_KINDS)
def append_in_one(kind: PlanKind) -> Select[int]:
    """Append in one statement. Shape: one row (1,) if it landed, no row if not.

    Parameters: those of `advance`; `opens`, whether the first entry begins its transcript; `entries`, a JSON
    array with an array of COLUMNS for each entry, the key as hexadecimal. A known idempotency key makes the
    statement fail. PostgreSQL only.
    """
    advanced = advance(kind).cte("advanced")
    rows, _ = _select_rows(advanced, _ENTRIES, PROJECT, advanced.c.at)
    inserted = insert(ENTRIES).from_select(INSERTED, rows, include_defaults=False).cte("inserted")
    return select(ONE).select_from(advanced).add_cte(inserted)


@cache
def insert_few_entries(many: int, *, main: bool) -> Insert:
    """Insert entries after `advance_alone`, as one VALUES. A distributed database keeps that query's plan.

    Parameters: those of the plan; `opens`, as in `append_in_one`; for the main transcript `at`, the entries'
    time as text; and those of COLUMNS with each entry's index: size_0. A known idempotency key makes the
    statement fail. PostgreSQL only.
    """
    same = {
        "project_key": PROJECT,
        "session_id": SESSION,
        "subpath": SUBPATH,
        "created_at": text_time(bindparam("at", type_=Text)) if main else statement_clock(),
    }
    opens = case((bindparam("opens", type_=Boolean), true()))
    rows = [
        {
            **same,
            "position": _KNOWN + literal_column(str(place)),
            "is_first": null() if place else opens,
            **from_parameters(f"{{}}_{place}"),
        }
        for place in range(many)
    ]
    return insert(ENTRIES).values(rows).inline()


@cache
def insert_many_entries(*, main: bool) -> Insert:
    """Insert more entries after `advance_alone`, from `entries` and the `ids` of `select_new_ids`.

    It selects from the session's row and draws no ids. Otherwise a distributed database would commit in two
    phases.
    """
    at = SESSIONS.c.updated_at if main else statement_clock()
    # The planner would parse a constant as JSON, and write it again for the other server.
    not_constant = case((SESSIONS.c.next_position.is_not(None), _ENTRIES))
    rows, place = _select_rows(SESSIONS, not_constant, SESSIONS.c.project_key, at)
    ids = cast(bindparam("ids", type_=Text), JSONB).op("->>", return_type=Text())
    rows = rows.where(*is_session()).add_columns(cast(ids(cast(place - ONE, Integer)), BigInteger))
    return insert(ENTRIES).from_select((*INSERTED, "id"), rows, include_defaults=False)


def _select_rows(
    source: FromClause, entries: ColumnElement[str], project_key: ColumnElement[str], at: ColumnElement[Any]
) -> tuple[Select[Any], ColumnElement[int]]:
    """Select a row per entry of a JSON text, next to the one row of `source`. Also return their places."""
    each = func.jsonb_array_elements(cast(entries, JSONB))
    items = each.table_valued(column("value", JSONB), with_ordinality="place", name="items").render_derived()
    place = items.c.place
    opens = case((and_(bindparam("opens", type_=Boolean), place == ONE), true()))
    members = (from_json(items.c.value, number, name) for number, name in enumerate(COLUMNS))
    rows = select(project_key, SESSION, SUBPATH, _KNOWN + place - ONE, at, opens, *members)
    return rows.join_from(source, items, true()), place


@lru_cache(_MAX_KINDS)
def advance(kind: PlanKind) -> ReturningUpdate[Any]:
    """Advance a session's next position past the new entries, if it is still the one that we know.

    Parameters: those of `in_transcript`; known_position, next_position; the counts of what is added;
    `summary` for the main transcript; `newest_position`, the transcript's, when guarded; the condition's.
    Shape: one row (time of the write,) if it advanced; no row if not.
    """
    at = SESSIONS.c.updated_at if kind.main else statement_clock()
    return _advance(kind).returning(type_coerce(at, UTCDateTime).label("at"))


@cache
def advance_alone(kind: PlanKind) -> ReturningUpdate[int | None]:
    """Like `advance`, as a step of its own. It returns no clock reading: a distributed database refuses that.

    It leaves out the kind's condition, which reads a table that is not distributed: run `select_allowed`
    first. Shape: as `advance`, with the time in Unix epoch microseconds, or None for a subagent's transcript.
    """
    at = elapsed_time(SESSIONS.c.updated_at) if kind.main else null()
    return _advance(kind._replace(condition=None)).returning(type_coerce(at, BigInteger))


@lru_cache(_MAX_KINDS)
def select_allowed(condition: Condition) -> Select[int]:
    """Check that a condition holds until the commit. Shape: one row (1,) if it does; no row if not."""
    return select(ONE).where(condition.holds)


def _advance(kind: PlanKind) -> Update:
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
    conditions = [*is_session(), c.next_position == _KNOWN]
    if kind.guarded:
        # Don't wait for another transaction's lock: `run_locked` does that, on a connection of its own.
        row = SESSIONS.alias("row")
        free = select(ONE).where(row.c.project_key == PROJECT, row.c.session_id == SESSION)
        newest = aliased(Entry)
        others = aliased(Entry)
        conditions += [
            free.with_for_update(skip_locked=True).exists(),
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
    if kind.condition is not None:
        conditions.append(kind.condition.holds)
    return update(SESSIONS).where(*conditions).values(values)


@lru_cache
def insert_rows(dialect: Dialect, schema: str | None) -> str:
    """Return `insert_entries` as text for SQLite's driver. One tuple per entry: INSERTED, as it is stored.

    For 500 rows SQLAlchemy takes as long as SQLite itself. The driver alone avoids that (benchmarks:
    `sqlite`, and `import` in `files`).
    """
    table, columns = inserted_into(dialect, schema)
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(INSERTED))})"  # noqa: S608 - names only


@cache
def insert_entries() -> Insert:
    """Insert entries at their positions. A known idempotency key makes the statement fail.

    Parameters, one set per entry: those of `in_transcript`; and with the prefix `new_`: position, created_at,
    is_first, and COLUMNS.
    """
    return insert(ENTRIES).values(
        project_key=PROJECT,
        session_id=SESSION,
        subpath=SUBPATH,
        position=bindparam("new_position", type_=BigInteger),
        created_at=bindparam("new_created_at", type_=UTCDateTime),
        is_first=bindparam("new_is_first", type_=Boolean),
        **from_parameters("new_{}"),
    )


def select_new_ids(dialect: Dialect, schema: str | None) -> Select[str]:
    """Draw ids for entries. Parameter: `many`. Shape: one row (a JSON array of ids,). PostgreSQL only."""
    ids = func.pg_get_serial_sequence(inserted_into(dialect, schema)[0], "id")
    each = func.generate_series(1, bindparam("many", type_=Integer)).alias("each")
    return select(cast(func.jsonb_agg(func.nextval(ids)), Text)).select_from(each)
