"""Counts the calls of each tool: how often it failed, and how long it took."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, tzinfo
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.missing import Missing, ask, counted_records
from boocode_sessions._core.derived.records import ToolUseRecord, greatest
from boocode_sessions._core.statements.derived_reads import DerivedQuery, is_single, is_summed
from boocode_sessions._core.unit_of_work import Bind
from boocode_sessions.models import SessionToolUse
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope


@dataclasses.dataclass(frozen=True, slots=True)
class ToolRow:
    """The calls of one tool."""

    tool: str
    calls: int
    failures: int
    """Calls whose result is marked as an error, as a refused permission is."""
    unanswered: int
    """Calls without a result, because they were interrupted or still run."""
    mean_seconds: float | None
    """Mean time from a call's line to its result's, including a wait for permission. None without results."""
    max_seconds: float | None
    total_seconds: float | None


@checked
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
    """Count the calls of each tool by main agents and subagents, most calls first.

    A call that forks copied counts once. Like `usage`, it reads tables that lag behind the entries, and first
    adds what they lack.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        project_key: Only calls in this project.
        session_id: Only calls in the session with this id.
        since: Only calls from this time on. A line without a time counts from when it was stored. A date
            means its beginning in `tz`.
        until: Only calls before this time.
        tz: The time zone of a date.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        ValueError: `since` or `until` has no time zone.
        SessionStoreError: The database can't be read.
    """
    scope = Scope.of(project_key, session_id, since, until, tz)
    totals = ask(bind, schema, "count the tools' calls", scope.named, partial(_totals, scope))
    rows = [total.row(tool) for tool, total in totals.items()]
    return Rows(ToolRow, sorted(rows, key=lambda row: (-row.calls, row.tool)))


@dataclasses.dataclass
class _Total:
    calls: int = 0
    failures: int = 0
    unanswered: int = 0
    micros: int = 0
    longest: int | None = None

    def add(self, calls: int, failures: int, unanswered: int, micros: int, longest: int | None) -> None:
        self.calls += calls
        self.failures += failures
        self.unanswered += unanswered
        self.micros += micros
        self.longest = greatest(self.longest, longest)

    def row(self, tool: str) -> ToolRow:
        answered = self.calls - self.unanswered
        if not answered or self.longest is None:
            return ToolRow(tool, self.calls, self.failures, self.unanswered, None, None, None)
        seconds = (self.micros / answered, self.longest, self.micros)
        return ToolRow(
            tool,
            self.calls,
            self.failures,
            self.unanswered,
            *(round(micros / 1_000_000, 3) for micros in seconds),
        )


def _totals(scope: Scope, connection: StoreConnection, missing: Missing) -> dict[str, _Total]:
    totals: dict[str, _Total] = {}
    merged: dict[bytes, ToolUseRecord] = {}

    def merge(use: bytes, record: ToolUseRecord) -> None:
        known = merged.get(use)
        merged[use] = record if known is None else known.merged(record)

    statement = _statement(scope.derived_query(connection, open_sessions=missing.open_sessions))
    parameters = {**scope.parameters, **missing.parameters}
    for use, tool, *values in connection.select(statement, parameters) if missing.readable else ():
        if use is None:
            calls, failures, unanswered, micros = map(int, values[:4])
            totals.setdefault(tool, _Total()).add(calls, failures, unanswered, micros, values[4])
        else:
            merge(use, ToolUseRecord(tool, *values[:3]))
    for of_session in counted_records(connection, missing):
        for (use, _), record in of_session.uses.items():
            merge(use, record)
    is_in_range = scope.time_test()
    for tool, failed, asked_at, answered_at in merged.values():
        if tool is not None and asked_at is not None and is_in_range(asked_at):
            total = totals.setdefault(tool, _Total())
            if answered_at is None:
                total.add(1, 0, 1, 0, None)
            else:
                total.add(1, failed or 0, 0, answered_at - asked_at, answered_at - asked_at)
    return totals


@cache
def _statement(query: DerivedQuery) -> Select[*tuple[Any, ...]]:
    """Select sums per tool of the uses with lines in one session only, and each of the other uses.

    Shape: (NULL, tool, uses, failures, unanswered, microseconds, longest microseconds) per tool, and (use,
    tool, failed, asked_at, answered_at, NULL, NULL) per other use. Served by:
    claude_session_tool_uses_tool_idx, claude_session_tool_uses_shared_idx.
    """
    use = SessionToolUse
    micros = use.answered_at - use.asked_at
    zero: ColumnElement[int] = literal_column("0")
    no_number = cast(null(), BigInteger)
    sums = (
        select(
            cast(null(), LargeBinary),
            use.tool,
            func.count(),
            func.coalesce(func.sum(use.failed), zero),
            func.sum(case((use.answered_at.is_(None), 1), else_=0)),
            cast(func.coalesce(func.sum(micros), zero), BigInteger),
            func.max(micros),
        )
        .where(*is_summed(use, query), use.tool.is_not(None), *query.times(use.asked_at.expression))
        .group_by(use.tool)
    )
    columns = (use.call, use.tool, cast(use.failed, BigInteger), use.asked_at, use.answered_at)
    single = select(*columns, no_number, no_number).where(*is_single(use, query))
    return sums.union_all(single)  # type: ignore[return-value]
