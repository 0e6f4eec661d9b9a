"""Which tools ran, how often they failed, how long they took."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, Text, case, cast, func, literal_column, select, true

from boocode_sessions.columns import (
    json_is_true,
    json_member,
    json_string,
    message_blocks,
    seconds_between,
    text_time,
)
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import lines, moment, not_copied, within
from boocode_sessions.transactions import Bind, Transactions


class ToolRow(NamedTuple):
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
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[ToolRow]:
    """The tools that main agents and subagents called, most calls first; a fork's copies count once.

    One statement. It reads every message of the stretch of time, or of the session: give `since` on a large
    store (benchmarks/ask.py has the figures).
    """
    moment("since", since)
    moment("until", until)
    statement = _statement(project_key, session_id, since, until)
    rows = Transactions(bind, schema).read(
        "count the tools' calls", lambda tables: tables.select(statement).all()
    )
    return [
        ToolRow(
            tool,
            calls,
            int(failures),
            int(unanswered),
            *(None if s is None else round(s, 3) for s in seconds),
        )
        for tool, calls, failures, unanswered, *seconds in rows
    ]


def _statement(
    project_key: str | None, session_id: str | None, since: datetime | None, until: datetime | None
) -> Select[*tuple[Any, ...]]:
    def blocks(kind: str, line_type: str, *columns: tuple[str, ColumnElement[Any]]) -> Any:  # noqa: ANN401
        where = lines(line_type, project_key, session_id, since, until)
        return (
            select(
                json_member(Entry.entry.expression, "timestamp").label("at"),
                Entry.created_at.label("stored"),
                *(column.label(name) for name, column in columns),
            )
            .join_from(Entry, block, true())
            .where(*where, not_copied(), json_string(value, "type") == literal_column(f"'{kind}'"))
            .cte(kind)
            # Apart, for PostgreSQL, which would carry whole entries through the sorts.
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )

    block = message_blocks(Entry.entry.expression).table_valued("value", name="block", joins_implicitly=True)
    value = block.c.value
    unnamed = "~" + cast(Entry.id, Text)
    called = blocks(
        "tool_use",
        "assistant",
        ("call", func.coalesce(json_string(value, "id"), unnamed)),
        ("tool", func.coalesce(json_string(value, "name"), "")),
    )
    answered = blocks(
        "tool_result",
        "user",
        ("call", json_string(value, "tool_use_id")),
        ("failed", cast(json_is_true(value, "is_error"), Integer)),
    )

    def once(of: Any, name: str) -> Any:  # noqa: ANN401 - a subquery's columns have no useful type
        """Each call, at its first line."""
        first = (
            select(
                of.c.call,
                func.max(of.c[name]).label(name),
                func.min(of.c.at).label("at"),
                func.min(of.c.stored, type_=Entry.created_at.type).label("stored"),
            )
            .group_by(of.c.call)
            .subquery()
        )
        at = func.coalesce(text_time(first.c.at), first.c.stored, type_=Entry.created_at.type)
        return select(first.c.call, first.c[name], at.label("at")).where(
            *(within(at, since, until) if of is called else ())
        )

    calls = once(called, "tool").cte("calls").prefix_with("MATERIALIZED", dialect="postgresql")
    results = once(answered, "failed").cte("results").prefix_with("MATERIALIZED", dialect="postgresql")
    seconds = seconds_between(calls.c.at, results.c.at)
    count = func.count()
    return (
        select(
            calls.c.tool,
            count,
            func.sum(func.coalesce(results.c.failed, 0)),
            func.sum(case((results.c.call.is_(None), 1), else_=0)),
            func.avg(seconds),
            func.max(seconds),
            func.sum(seconds),
        )
        .join_from(calls, results, results.c.call == calls.c.call, isouter=True)
        .group_by(calls.c.tool)
        .order_by(count.desc(), calls.c.tool)
    )
