"""Which tools ran, how often they failed, how long they took."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)

from boocode_sessions._core.sql.entry_json import json_is_true, json_string, message_blocks, seconds_between
from boocode_sessions._core.sql.facts import fact, text_time
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.scope import Scope, at_of_entry, moment, said_within


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

    One statement, which reads the lines' stored facts (benchmarks/ask.py has the figures).
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
    scope = Scope(project_key, session_id, since, until)
    names = ("at", "use", "tool", "failed")
    of_facts = select(*(fact(Entry.facts.expression, name).label(name) for name in names)).where(
        *scope.by_facts("use")
    )
    block = message_blocks(Entry.entry.expression).table_valued("value", name="block", joins_implicitly=True)
    value = block.c.value

    def of_entries(kind: str, line_type: str, *said: ColumnElement[Any]) -> Any:  # noqa: ANN401
        is_kind = json_string(value, "type") == literal_column(f"'{kind}'")
        return (
            select(at_of_entry(), *said)
            .join_from(Entry, block, true())
            .where(*scope.by_entry(line_type), is_kind)
        )

    unnamed = "~" + cast(Entry.id, Text)
    use = func.coalesce(json_string(value, "id"), unnamed)
    asked = of_entries(
        "tool_use", "assistant", use, func.coalesce(json_string(value, "name"), ""), cast(null(), Integer)
    )
    failed = cast(json_is_true(value, "is_error"), Integer)
    answered = of_entries(
        "tool_result", "user", json_string(value, "tool_use_id"), cast(null(), Text), failed
    )
    said = union_all(of_facts, asked, answered).subquery("said")
    calls = (
        select(
            func.max(said.c.tool).label("tool"),
            func.max(said.c.failed).label("failed"),
            func.min(said.c.at).filter(said.c.tool.is_not(None)).label("asked"),
            func.min(said.c.at).filter(said.c.failed.is_not(None)).label("answered"),
        )
        .group_by(said.c.use)
        .subquery("calls")
    )
    seconds = seconds_between(text_time(calls.c.asked), text_time(calls.c.answered))
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
        .where(calls.c.tool.is_not(None), *said_within(calls.c.asked, since, until))
        .group_by(calls.c.tool)
        .order_by(count.desc(), calls.c.tool)
    )
