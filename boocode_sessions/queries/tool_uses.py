"""Selects each single call of a tool from the entries, in one statement."""

from __future__ import annotations

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
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions._core.statements.read import ONE
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import (
    Scope,
    has_unplaced,
    not_copied,
    unplaced_forked_from,
    unplaced_said_at,
    unplaced_type,
)

_HAS_SEVERAL = and_(Entry.tool_count.is_not(None), Entry.tool_use_id.is_(None))
"""Condition: a line with several tool uses or results, or one without an id. They are read from its entry."""


def calls_of_tools(connection: StoreConnection, scope: Scope) -> Subquery:
    """Return a subquery with one row per call: use, tool, failed, asked, answered, use_row and result_row.

    `failed` is NULL without a result. `use_row` and `result_row` are the ids of lines that the use's id can't
    find. Two statements run first, to look for lines that have to be read in other ways. Served by:
    claude_session_entries_tools_idx, in whose order the uses are grouped.
    """
    parts = [_of_columns(scope)]
    several = select(ONE).where(_HAS_SEVERAL, *scope.key()).exists()
    if connection.select(select(several)).scalar_one():
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


def _of_columns(scope: Scope) -> Select[*tuple[Any, ...]]:
    """Select the uses and results of lines that have exactly one. `failed` is NULL for a use, `tool` for a
    result."""
    at = func.coalesce(Entry.said_at, Entry.created_at, type_=UTCDateTime())
    return select(
        at.label("at"),
        Entry.tool_use_id.label("use"),
        case((Entry.failed.is_(None), func.coalesce(Entry.tool_name, ""))).label("tool"),
        cast(Entry.failed, Integer).label("failed"),
        # Not the line's id, so that only the index is read.
        cast(null(), BigInteger).label("row"),
    ).where(
        # The index's own conditions: without the second one it would not be used.
        Entry.tool_use_id.is_not(None),
        Entry.tool_count.is_not(None),
        *scope.key(),
        *scope.widened.in_time_range(at),
        not_copied(Entry.forked_from),
    )


class _Said(NamedTuple):
    """Expressions for a line's values, from its columns or from its entry."""

    type: Any
    said_at: Any
    forked_from: Any


def _of_blocks(scope: Scope, line: _Said, condition: ColumnElement[bool]) -> list[Select[*tuple[Any, ...]]]:
    """Like `_of_columns`, from the lines' entries: uses from answers, and results from users' lines."""
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
                *scope.widened.in_time_range(at),
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
