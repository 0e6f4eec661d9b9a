"""Lists calls of tools one by one: input, result, duration and place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any, cast

from sqlalchemy import Select, and_, or_, select

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.attributes import blocks_of, in_order, string_at, text_of_content
from boocode_sessions._core.codec import Cipher, StoredAt, decode, open_entry
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements.parameters import exact_text, in_parts
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import Scope
from boocode_sessions.queries.tool_uses import calls_of_tools


@dataclasses.dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    project_key: str
    session_id: str
    subpath: str
    """`''` for the main transcript."""
    id: int
    """The id of the entry with the call."""
    tool: str
    tool_use_id: str | None
    called: datetime | None
    seconds: float | None
    """Time from the call's line to its result's, including a wait for permission. None without a result."""
    failed: bool | None
    """True if the result is marked as an error, as a refused permission is. None without a result."""
    input: Any
    """The tool's input."""
    result: str | None
    """The result as text, without images. None without a result."""
    result_id: int | None
    """The id of the entry with the result."""


@checked
def tool_calls(
    bind: Bind,
    *,
    failed: bool | None = None,
    tool: str | None = None,
    project_key: str | None = None,
    session_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int | None = 50,
    tz: tzinfo = UTC,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> Rows[ToolCall]:
    """List the tool calls of main agents and subagents, newest first. A call that a fork copied comes once.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        failed: True for calls that failed only, False for calls that succeeded only. None for all, including
            those without a result.
        tool: Only calls of the tool with this name.
        project_key: Only calls in this project.
        session_id: Only calls in the session with this id.
        since: Only calls from this time on. A line without a time counts from when it was stored. A date
            means its beginning in `tz`.
        until: Only calls before this time.
        limit: Most calls to return; None for all.
        tz: The time zone of a date.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        ValueError: `since` or `until` has no time zone.
        SessionStoreError: The database can't be read.
    """
    check_at_least(0, limit=limit)
    scope = Scope.of(project_key, session_id, since, until, tz)

    def operation(connection: StoreConnection) -> Rows[ToolCall]:
        found = [
            dict(row) for row in connection.select(_listed(connection, scope, failed, tool, limit)).mappings()
        ]
        lines = _Lines(connection, found)
        return Rows(ToolCall, (call for row in found if (call := lines.call(row)) is not None))

    return UnitOfWork(bind, schema, encryption).read("list the tools' calls", operation)


def _listed(
    connection: StoreConnection, scope: Scope, failed: bool | None, tool: str | None, limit: int | None
) -> Select[*tuple[Any, ...]]:
    calls = calls_of_tools(connection, scope)
    c = calls.c
    statement: Select[*tuple[Any, ...]] = (
        select(*c).where(c.tool.is_not(None), *scope.in_time_range(c.asked)).order_by(c.asked.desc(), c.use)
    )
    if failed is not None:
        statement = statement.where(c.failed == int(failed))
    if tool is not None:
        statement = statement.where(c.tool == tool)
    return statement if limit is None else statement.limit(limit)


PAGE = 500
"""Calls whose lines one statement reads: the number of its parameters is limited."""


class _Lines:
    """The lines of some calls: the first one with each use, and the first one with each result."""

    def __init__(self, connection: StoreConnection, calls: Sequence[Mapping[str, Any]]) -> None:
        self._uses: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        self._results: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        self._cipher = connection.cipher
        for some in in_parts(calls, PAGE):
            for row in connection.select(_select_lines(some)):
                self._add_row(row)

    def _add_row(self, row: Any) -> None:  # noqa: ANN401 - a row of _select_lines
        transcript = Transcript(row.project_key, row.session_id, row.subpath)
        at = StoredAt(transcript, row.position, row.dedup_key or b"")
        line = decode(open_entry(self._cipher, at, row.text))
        for use in _blocks(line, "tool_use"):
            self._uses.setdefault(string_at(use, "id") or f"~{row.id}", (row, use))
        for result in _blocks(line, "tool_result"):
            self._results.setdefault(string_at(result, "tool_use_id") or "", (row, result))

    def call(self, found: Mapping[str, Any]) -> ToolCall | None:
        """Return a call with the content of its lines, or None if the call's line has just been deleted."""
        if (asked := self._uses.get(found["use"])) is None:
            return None
        row, use = asked
        given = use.get("input")
        answer = None if found["failed"] is None else self._results.get(found["use"])
        answered = found["answered"]
        return ToolCall(
            project_key=row.project_key,
            session_id=row.session_id,
            subpath=row.subpath,
            id=row.id,
            tool=found["tool"],
            tool_use_id=string_at(use, "id"),
            called=found["asked"],
            seconds=None if answered is None else round((answered - found["asked"]).total_seconds(), 3),
            failed=None if found["failed"] is None else bool(found["failed"]),
            input=in_order(cast("dict[str, object]", given)) if isinstance(given, dict) else given,
            result=None if answer is None else text_of_content(answer[1].get("content")) or "",
            result_id=None if answer is None else answer[0].id,
        )


def _blocks(line: object, kind: str) -> Iterator[Mapping[str, Any]]:
    yield from cast("Iterator[Mapping[str, Any]]", blocks_of(line, kind))


def _select_lines(calls: Sequence[Mapping[str, Any]]) -> Select[*tuple[Any, ...]]:
    """Select the lines of calls in the order in which they were stored.

    Served by: claude_session_entries_tools_idx and claude_session_entries_pkey.
    """
    ids = [row[name] for row in calls for name in ("use_row", "result_row") if row[name] is not None]
    named = and_(Entry.tool_use_id.in_([row["use"] for row in calls]), Entry.tool_count.is_not(None))
    return (
        select(
            Entry.project_key,
            Entry.session_id,
            Entry.subpath,
            Entry.id,
            Entry.position,
            Entry.dedup_key,
            exact_text().label("text"),
        )
        .where(or_(named, Entry.id.in_(ids)) if ids else named)
        .order_by(Entry.position, Entry.id)
    )
