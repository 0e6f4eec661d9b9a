"""Which tools ran, how often they failed, how long they took."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, tzinfo
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.sql.json_values import json_is_true, json_label, json_string
from boocode_sessions._core.sql.messages import message_blocks
from boocode_sessions._core.sql.times import seconds_between
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions._core.statements.read import ONE
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import (
    Scope,
    has_unplaced,
    not_copied,
    unplaced_forked_from,
    unplaced_said_at,
    unplaced_type,
)


@dataclasses.dataclass(frozen=True, slots=True)
class ToolRow:
    """One tool."""

    tool: str
    calls: int
    failures: int
    """Calls whose result is marked as an error, a refused permission included."""
    unanswered: int
    """Calls without a result: interrupted ones, and those that still run."""
    mean_seconds: float | None
    """From the line of the call to that of its result: with a wait for permission. None without an answer."""
    max_seconds: float | None
    total_seconds: float | None


def tools(
    bind: Bind,
    *,
    project_key: str | None = None,
    session_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    tz: tzinfo = UTC,
    schema: str | None = None,
) -> Rows[ToolRow]:
    """The tools that main agents and subagents called, most calls first; a fork's copies count once.

    Args:
        project_key, session_id: Only calls of this project or session.
        since, until: Only calls that were made from then on, and before then. A line that does not say when
            it was said counts from when it was stored. A date is its beginning in `tz`.
        tz: The time zone that a date is meant in.
        schema: Where the tables are, when the connection's search path does not lead there.

    Two to three statements: the last one reads an index alone, and beside it only lines with several tool
    uses or results, and rows of other programs (benchmarks/ask.py has the figures).
    """
    scope = Scope.of(project_key, session_id, since, until, tz)

    def operation(connection: StoreConnection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.select(_statement(calls_of_tools(connection, scope), scope))]

    rows = UnitOfWork(bind, schema).read("count the tools' calls", operation)
    counted = (
        ToolRow(tool, calls, int(failures), int(unanswered), *map(_rounded, seconds))
        for tool, calls, failures, unanswered, *seconds in rows
    )
    return Rows(ToolRow, counted)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


_HAS_SEVERAL = and_(Entry.tool_count.is_not(None), Entry.tool_use_id.is_(None))
"""Condition: a line whose tool uses or results are read from its entry: several, or one without an id."""


def _of_several(connection: StoreConnection, scope: Scope) -> bool:
    there = select(ONE).where(_HAS_SEVERAL, *scope.key()).exists()
    return connection.select(select(there)).scalar_one()


def calls_of_tools(connection: StoreConnection, scope: Scope) -> Subquery:
    """One row per call: use, tool, when it was asked and answered, and `failed`, NULL without an answer.

    `use_row` and `result_row` are the lines' ids, where they are not found by the use. Two statements are
    run first, which look for lines that are read in other ways. Served by: claude_session_entries_tools_idx,
    in whose order the uses are grouped.
    """
    parts = [_of_columns(scope)]
    if _of_several(connection, scope):
        parts += _of_blocks(scope, _Said(Entry.type, Entry.said_at, Entry.forked_from), _HAS_SEVERAL)
    if has_unplaced(connection, scope):
        said = _Said(unplaced_type(), unplaced_said_at(), unplaced_forked_from())
        parts += _of_blocks(scope, said, unplaced())
    uses = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("uses")
    return (
        select(
            uses.c.use,
            func.max(uses.c.tool).label("tool"),
            func.max(uses.c.failed).label("failed"),
            func.min(case((uses.c.failed.is_(None), uses.c.at)), type_=UTCDateTime()).label("asked"),
            func.min(case((uses.c.failed.is_not(None), uses.c.at)), type_=UTCDateTime()).label("answered"),
            func.min(case((uses.c.failed.is_(None), uses.c.row))).label("use_row"),
            func.min(case((uses.c.failed.is_not(None), uses.c.row))).label("result_row"),
        )
        .group_by(uses.c.use)
        .subquery("calls")
    )


def _statement(calls: Subquery, scope: Scope) -> Select[*tuple[Any, ...]]:
    """Calls, failures and seconds per tool."""
    seconds = seconds_between(calls.c.asked, calls.c.answered)
    count = func.count()
    return (
        select(
            calls.c.tool,
            count,
            func.sum(func.coalesce(calls.c.failed, 0)),
            func.sum(case((calls.c.failed.is_(None), 1), else_=0)),
            func.avg(seconds),
            func.max(seconds),
            func.sum(seconds),
        )
        .where(calls.c.tool.is_not(None), *scope.said(calls.c.asked))
        .group_by(calls.c.tool)
        .order_by(count.desc(), calls.c.tool)
    )


def _of_columns(scope: Scope) -> Select[*tuple[Any, ...]]:
    """Tool uses and results of the lines that have one. A use's `failed` is NULL, a result's `tool`."""
    at = func.coalesce(Entry.said_at, Entry.created_at, type_=UTCDateTime())
    return select(
        at.label("at"),
        Entry.tool_use_id.label("use"),
        case((Entry.failed.is_(None), func.coalesce(Entry.tool_name, ""))).label("tool"),
        cast(Entry.failed, Integer).label("failed"),
        # Not its id: the index alone is read.
        cast(null(), BigInteger).label("row"),
    ).where(
        # As the index has it: without the second condition it would not be taken.
        Entry.tool_use_id.is_not(None),
        Entry.tool_count.is_not(None),
        *scope.key(),
        *scope.widened.said(at),
        not_copied(Entry.forked_from),
    )


class _Said(NamedTuple):
    """What tells of a line, whether it has columns or not."""

    type: Any
    said_at: Any
    forked_from: Any


def _of_blocks(scope: Scope, line: _Said, condition: ColumnElement[bool]) -> list[Select[*tuple[Any, ...]]]:
    """The same from the lines' entries: of answers, and of users' lines."""
    block = message_blocks(Entry.entry.expression).table_valued("value", name="block", joins_implicitly=True)
    value = block.c.value
    at = func.coalesce(line.said_at, Entry.created_at, type_=UTCDateTime())

    def of(block_type: str, in_line: str, *said: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        return (
            select(at, *said, Entry.id)
            .join_from(Entry, block, true())
            .where(
                condition,
                line.type == literal_column(f"'{in_line}'", Text()),
                json_string(value, "type") == literal_column(f"'{block_type}'", Text()),
                *scope.key(),
                *scope.widened.said(at),
                not_copied(line.forked_from),
            )
        )

    unnamed = literal_column("'~'", Text()).concat(cast(Entry.id, Text))
    use = func.coalesce(json_string(value, "id"), unnamed)
    name = func.coalesce(json_label(value, "name"), "")
    failed = cast(json_is_true(value, "is_error"), Integer)
    return [
        of("tool_use", "assistant", use, name, cast(null(), Integer)),
        of("tool_result", "user", json_string(value, "tool_use_id"), cast(null(), Text), failed),
    ]
