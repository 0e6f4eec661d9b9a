"""Lists sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.codec import Cipher, decode_summary
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.keys import Session, check_parts
from boocode_sessions._core.statements.listing import Found, Key, select_listed, select_page, select_rows
from boocode_sessions._core.statements.parameters import among
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import moment
from boocode_sessions.queries.unfolded import NO_UNPLACED, UnplacedCounts, count_unplaced, fold_stale


@dataclasses.dataclass(frozen=True, slots=True)
class SessionRow:
    """One session, including its subagents."""

    project_key: str
    session_id: str
    title: str | None
    """The SDK's title for it: a given or generated title, else the last or the first prompt."""
    first_prompt: str | None
    entries: int
    subagents: int
    """Transcripts beside the main one."""
    bytes: int
    """Bytes of its entries as JSON."""
    tokens: int
    """Tokens of all kinds, including cached ones. Each API call counts once. Forks include copied calls."""
    started: datetime | None
    """When the agent wrote the earliest line."""
    last_said: datetime | None
    """When the agent wrote the latest line, so when the work was done. None if no line has a time."""
    updated: datetime | None
    """When the main transcript was last appended to, or imported. None without a main transcript."""
    held: bool
    """True if the session is exempt from pruning."""
    has_main: bool
    """True if the session has a main transcript. The SDK lists no session that has only subagents."""
    is_sidechain: bool
    """True if a subagent wrote the main transcript, as with older agents. The SDK does not list it."""

    @property
    def is_conversation(self) -> bool:
        """True unless a subagent wrote the main transcript, or nothing was asked in it."""
        return not self.has_main or (self.title is not None and not self.is_sidechain)


@checked
def sessions(
    bind: Bind,
    *,
    project_key: str | None = None,
    since: date | None = None,
    limit: int | None = 50,
    conversations_only: bool = False,
    tz: tzinfo = UTC,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> Rows[SessionRow]:
    """List sessions, the one that was used last first.

    Sessions are sorted by `last_said`, or by `updated` if that is None. Rows that another program inserted
    count from when they were stored. One statement reads one row per session. A few more read entries if
    another program has inserted into the listed sessions, or if they have no summary yet.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        project_key: List only sessions of this project.
        since: List only sessions in which something was said since then, by the times of their lines. A date
            means its beginning in `tz`.
        limit: Most sessions to list; None for all.
        conversations_only: Leave out what the SDK does not list: main transcripts that a subagent wrote, and
            those in which nothing was asked.
        tz: The time zone of a date.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one. Titles are encrypted too.

    Raises:
        ValueError: `since` has no time zone.
        SessionStoreError: The database can't be read.
    """
    check_at_least(0, limit=limit)
    check_parts(project_key=project_key)
    given = {"in_project": project_key, "since": moment("since", since, tz), "most": limit}
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    unit_of_work = UnitOfWork(bind, schema, encryption)
    while True:
        found = unit_of_work.read("list the sessions", _listing(parameters))
        kept = [row for row in found if row.is_conversation or not conversations_only]
        if limit is None or len(kept) >= limit or len(found) < parameters["most"]:
            return Rows(SessionRow, kept[:limit])
        parameters["most"] *= 4


def _listing(parameters: Mapping[str, Any]) -> Callable[[StoreConnection], list[SessionRow]]:
    statement = select_listed(frozenset(parameters))

    def operation(connection: StoreConnection) -> list[SessionRow]:
        if is_distributed(connection.connection):
            rows = _in_two_statements(connection, parameters)
        else:
            rows = [Found(*row) for row in connection.select(statement, parameters)]
        unplaced = count_unplaced(connection, [row.key for row in rows if row.unplaced])
        folded = fold_stale(connection, [row.key for row in rows if row.has_main and not row.fresh])
        return [_row(connection.cipher, row, unplaced.get(row.key, NO_UNPLACED), folded) for row in rows]

    return operation


def _in_two_statements(connection: StoreConnection, parameters: Mapping[str, Any]) -> list[Found]:
    """Run `select_listed` in two parts: a distributed database can't join a page to rows on all servers."""
    page = connection.select(select_page(frozenset(parameters), distributed=True), parameters)
    # A session without a row of ours was inserted by another program: `updated` comes from its main entries.
    found = [
        Found(project, session, updated, unplaced, has_main=updated is not None)
        for project, session, _, updated, unplaced in page
    ]
    if not found:
        return []
    keys = [row.key for row in found]
    rows = connection.select(select_rows({project for project, _ in keys}), among(keys)).mappings()
    of_rows: dict[Key, dict[str, Any]] = {(row["project_key"], row["session_id"]): dict(row) for row in rows}
    return [row._replace(**of_rows.get(row.key, {})) for row in found]


def _row(
    cipher: Cipher | None, row: Found, unplaced: UnplacedCounts, folded: Mapping[Key, Mapping[str, Any]]
) -> SessionRow:
    own = decode_summary(cipher, Session(*row.key), row.data) if row.fresh else None
    data: Mapping[str, Any] = own or folded.get(row.key) or {}
    prompt = data.get("first_prompt") if data.get("first_prompt_locked") else data.get("command_fallback")
    titles = [data.get(name) for name in ("custom_title", "ai_title", "last_prompt", "summary_hint")]
    return SessionRow(
        project_key=row.project_key,
        session_id=row.session_id,
        title=next((title for title in [*titles, prompt] if title), None),
        first_prompt=prompt or None,
        entries=(row.entries or 0) + unplaced.entries,
        subagents=(row.subagents or 0) + unplaced.subagents,
        bytes=(row.bytes or 0) + unplaced.bytes,
        tokens=(row.tokens or 0) + unplaced.tokens,
        started=min((at for at in (row.first_said_at, unplaced.first_said) if at is not None), default=None),
        last_said=max((at for at in (row.last_said_at, unplaced.last_said) if at is not None), default=None),
        updated=row.updated,
        held=bool(row.held),
        has_main=bool(row.has_main),
        is_sidechain=data.get("is_sidechain") is True,
    )
