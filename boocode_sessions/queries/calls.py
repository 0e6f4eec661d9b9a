"""The API calls that lines are parts of, each counted once.

A call is spread over several lines, whose usage grows; a fork and a resume copy them into other sessions.
What identifies a call is its message id and its request id. A message id without a request id names a call
of its session, and a line without either is a call of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Subquery,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.sql.functions import SQLFunction
from boocode_sessions._core.sql.json_values import json_count, json_label
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import (
    Scope,
    has_unplaced,
    not_copied,
    unplaced_forked_from,
    unplaced_said_at,
    unplaced_type,
)

TOKENS = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("cache_read_input_tokens",),
    "cache_write_tokens": ("cache_creation_input_tokens",),
    "cache_write_1h_tokens": ("cache_creation", "ephemeral_1h_input_tokens"),
}
"""The columns of tokens, and where in `message.usage` of a line they come from."""

NOTICE = "<synthetic>"
"""In the place of a model: what the agent itself says in an answer's form, without an API call."""

_ANSWER = literal_column("'assistant'", Text())
_ORDERED = 38
"""Characters of what `stored_order` gives."""


class Found(NamedTuple):
    """Which lines there are beside the usual ones: few, or none, and slow to look for among all."""

    unplaced: bool
    """Rows that another program inserted and nobody has placed."""
    without_request: bool
    """Answers without a request id, beside the agent's notices."""


def look(connection: StoreConnection, scope: Scope) -> Found:
    """Two statements, which read an index each. Served by: claude_session_entries_unplaced_idx and
    claude_session_entries_usage_idx."""
    if has_unplaced(connection, scope):
        return Found(unplaced=True, without_request=True)
    one = (
        select(Entry.message_id)
        .where(Entry.type == _ANSWER, Entry.request_id.is_(None), func.coalesce(Entry.model, "") != NOTICE)
        # In the index's order, or PostgreSQL expects the first of many soon, and reads the whole table.
        .order_by(Entry.request_id, Entry.message_id, Entry.said_at)
        .limit(1)
    )
    return Found(unplaced=False, without_request=connection.select(one).first() is not None)


def calls(scope: Scope, found: Found, *, with_place: bool) -> Subquery:
    """One row per call: its model, the said_at of its first line (NULL where none says it), and its tokens.

    `with_place`: also project_key and session_id, those of the line that was stored first. Served by:
    claude_session_entries_usage_idx, which has all that is read of a placed row with a request id, but for
    its project and session where these are asked for.
    """
    lines = _lines(scope, with_unplaced=found.unplaced).subquery("lines")
    # In the order of the index: nothing is sorted.
    call = [lines.c.request_id, lines.c.message_id]
    grouped = _grouped(lines, call, scope, with_place=with_place).where(lines.c.request_id.is_not(None))
    if not found.without_request:
        return grouped.subquery("calls")
    own = case((lines.c.message_id.is_(None), cast(lines.c.id, Text)))
    session = case((own.is_(None), func.coalesce(lines.c.forked_from, lines.c.session_id)))
    identity: list[ColumnElement[Any]] = [lines.c.project_key, lines.c.message_id, session, own]
    others = _grouped(lines, identity, scope, with_place=with_place).where(lines.c.request_id.is_(None))
    return union_all(grouped, others).subquery("calls")


def _lines(scope: Scope, *, with_unplaced: bool) -> Select[*tuple[Any, ...]] | CompoundSelect[Any]:
    """The answers' lines that the question needs."""
    read = scope.widened

    def selected(columns: Mapping[str, Any], *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
        at = func.coalesce(columns["said_at"], Entry.created_at, type_=UTCDateTime())
        labelled = (column.label(name) for name, column in columns.items())
        return select(*labelled, at.label("at")).where(
            *conditions, *scope.key(), *read.said(at), not_copied(columns["forked_from"])
        )

    same = {name: getattr(Entry, name) for name in ("project_key", "session_id", "position", "id")}
    own = ("request_id", "message_id", "model", "said_at", "forked_from", *TOKENS)
    ours = selected({**same, **{name: getattr(Entry, name) for name in own}}, Entry.type == _ANSWER)
    if not with_unplaced:
        return ours
    return union_all(ours, selected({**same, **unplaced_columns()}, unplaced(), is_unplaced_answer()))


def is_unplaced_answer() -> ColumnElement[bool]:
    """Condition on an unplaced row: it is a line of an answer."""
    return unplaced_type() == _ANSWER


def unplaced_columns() -> dict[str, ColumnElement[Any]]:
    """What the columns of an unplaced answer will hold, by their names."""
    entry = Entry.entry.expression
    message_id = json_label(entry, "message", "id")
    return {
        "request_id": case((message_id.is_not(None), json_label(entry, "requestId"))),
        "message_id": message_id,
        "model": json_label(entry, "message", "model"),
        "said_at": unplaced_said_at(),
        "forked_from": unplaced_forked_from(),
        **{name: json_count(entry, "message", "usage", *path) for name, path in TOKENS.items()},
    }


def _grouped(
    lines: Subquery, identity: Sequence[ColumnElement[Any]], scope: Scope, *, with_place: bool
) -> Select[*tuple[Any, ...]]:
    columns: list[ColumnElement[Any]] = [
        func.max(lines.c.model).label("model"),
        func.min(lines.c.said_at, type_=UTCDateTime()).label("said_at"),
        *(func.coalesce(func.max(lines.c[name]), 0).label(name) for name in TOKENS),
    ]
    if with_place:
        columns += [_of_first(lines, name).label(name) for name in ("project_key", "session_id")]
    statement = select(*columns).where(func.coalesce(lines.c.model, "") != NOTICE).group_by(*identity)
    return statement.having(*scope.said(func.min(lines.c.at))) if scope.bounded else statement


def _of_first(lines: Subquery, name: str) -> ColumnElement[str]:
    """A value of the line that was stored first, without a second look at the lines."""
    order = stored_order(lines.c.position, lines.c.id)
    return func.substr(func.min(order.concat(lines.c[name])), literal_column(str(_ORDERED + 1)), type_=Text())


class stored_order(SQLFunction[str]):  # noqa: N801 - named as the SQL function it stands for
    """Text that sorts as rows were stored: by position, and unplaced ones by id."""

    type = Text()
    postgresql = "(lpad(CAST({0} AS TEXT), 19, '0') || lpad(CAST({1} AS TEXT), 19, '0'))"
    sqlite = "printf('%019d%019d', {0}, {1})"
