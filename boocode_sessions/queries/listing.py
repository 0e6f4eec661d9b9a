"""Which sessions there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)

from boocode_sessions._core.codec import Cipher, decode_summary
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.keys import MAIN, Session
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import PROJECT, in_parts, unplaced
from boocode_sessions._core.statements.read import ONE, is_true_fold
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.models import ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.queries.rows import Rows
from boocode_sessions.queries.scope import check_limit, moment
from boocode_sessions.queries.unfolded import (
    NOTHING_MORE,
    SESSIONS_A_STATEMENT,
    Key,
    More,
    count_unplaced,
    fold_stale,
)


@dataclasses.dataclass(frozen=True, slots=True)
class SessionRow:
    """One session, its subagents included."""

    project_key: str
    session_id: str
    title: str | None
    """As the SDK lists it: the title that was given or generated, else the last or the first prompt."""
    first_prompt: str | None
    entries: int
    subagents: int
    """Transcripts beside the main one."""
    bytes: int
    """Bytes of its entries as JSON."""
    tokens: int
    """Of all kinds, cached ones too, each API call once. A fork has those of its copied beginning as well."""
    started: datetime | None
    """When the agent wrote the earliest line."""
    last_said: datetime | None
    """When the agent wrote the latest line: when the work was done. None where no line says it."""
    updated: datetime | None
    """When the main transcript was last appended to, which for an imported one is when it was imported. None
    without a main transcript."""
    held: bool
    """Whether it is exempt from pruning."""
    has_main: bool
    """Whether it has a main transcript. The SDK lists no session that only has subagents."""
    is_sidechain: bool
    """Whether a subagent wrote the main transcript, as older agents had it. The SDK does not list it."""

    @property
    def is_conversation(self) -> bool:
        """Whether it is a session as people know it: not a subagent's, and somebody was asked something."""
        return not self.has_main or (self.title is not None and not self.is_sidechain)


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
    """The sessions, the one that was worked in last first.

    A session's time is its `last_said`, and where that is None its `updated`, by which it is only sorted;
    rows that another program inserted count from when they were stored.

    Args:
        project_key: Only sessions of this project.
        since: Only sessions in which something was said since then; none whose lines do not say when. A
            date is its beginning in `tz`.
        limit: At most so many; None for all.
        conversations_only: Without what the SDK leaves out of its listing: main transcripts that a subagent
            wrote, and those in which nothing was asked.
        tz: The time zone that a date is meant in.
        schema: Where the tables are, when the connection's search path does not lead there.
        encryption: As the store has it; titles are encrypted.

    One statement, over one row per session. A few more read entries, where another program has inserted into
    sessions that are listed, or where they have no summary yet.
    """
    check_limit(limit)
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
    statement = _select_listed(frozenset(parameters))

    def operation(connection: StoreConnection) -> list[SessionRow]:
        if is_distributed(connection.connection):
            rows = _in_two_statements(connection, parameters)
        else:
            rows = [dict[str, Any](row) for row in connection.select(statement, parameters).mappings()]
        more = count_unplaced(connection, [_key(row) for row in rows if row["unplaced"]])
        folded = fold_stale(connection, [_key(row) for row in rows if row["has_main"] and not row["fresh"]])
        return [_row(connection.cipher, row, more.get(_key(row), NOTHING_MORE), folded) for row in rows]

    return operation


def _in_two_statements(connection: StoreConnection, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `_select_listed`, of which a distributed database can't join the page to the rows of all servers."""
    selected = connection.select(_select_page(frozenset(parameters)), parameters).mappings()
    page = [dict[str, Any](row) for row in selected]
    of_rows: dict[Key, dict[str, Any]] = {}
    for some in in_parts([_key(found) for found in page], SESSIONS_A_STATEMENT):
        rows = [dict[str, Any](row) for row in connection.select(_select_rows(some)).mappings()]
        of_rows |= {_key(row): row for row in rows}
    # Without a row of ours, all of it was inserted by another program, and `updated` is the main entries'.
    return [
        {"fresh": False, "has_main": found["updated"] is not None, **dict.fromkeys(_OF_ROWS), **found}
        | of_rows.get(_key(found), {})
        for found in page
    ]


def _key(row: Mapping[str, Any]) -> Key:
    return row["project_key"], row["session_id"]


def _row(
    cipher: Cipher | None, row: Mapping[str, Any], more: More, folded: Mapping[Key, Mapping[str, Any]]
) -> SessionRow:
    own = decode_summary(cipher, Session(*_key(row)), row["data"]) if row["fresh"] else None
    data: Mapping[str, Any] = own or folded.get(_key(row)) or {}
    prompt = data.get("first_prompt") if data.get("first_prompt_locked") else data.get("command_fallback")
    titles = [data.get(name) for name in ("custom_title", "ai_title", "last_prompt", "summary_hint")]
    return SessionRow(
        project_key=row["project_key"],
        session_id=row["session_id"],
        title=next((title for title in [*titles, prompt] if title), None),
        first_prompt=prompt or None,
        entries=(row["entries"] or 0) + more.entries,
        subagents=(row["subagents"] or 0) + more.subagents,
        bytes=(row["bytes"] or 0) + more.bytes,
        tokens=(row["tokens"] or 0) + more.tokens,
        started=min((at for at in (row["first_said_at"], more.first_said) if at is not None), default=None),
        last_said=max((at for at in (row["last_said_at"], more.last_said) if at is not None), default=None),
        updated=row["updated"],
        held=bool(row["held"]),
        has_main=bool(row["has_main"]),
        is_sidechain=data.get("is_sidechain") is True,
    )


_OF_ROWS = ("entries", "subagents", "bytes", "tokens", "first_said_at", "last_said_at", "data", "held")
"""What a page takes of each session's row."""


def _select_rows(sessions: Sequence[Key]) -> Select[*tuple[Any, ...]]:
    """The rows of some sessions."""
    row = ClaudeSession
    main = select(ONE).where(
        Entry.project_key == row.project_key, Entry.session_id == row.session_id, Entry.subpath == MAIN
    )
    return select(
        row.project_key,
        row.session_id,
        *(getattr(row, name) for name in _OF_ROWS),
        func.coalesce(is_true_fold(), false()).label("fresh"),
        main.correlate(row).exists().label("has_main"),
    ).where(
        row.project_key.in_({project for project, _ in sessions}),  # by which it is known where they are
        tuple_(row.project_key, row.session_id).in_(sessions),
    )


@cache
def _select_page(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    """The sessions of a page. `given`: which of in_project, since and most it has.

    Served by: claude_sessions_pkey, claude_session_entries_unplaced_idx, and probes of
    claude_session_entries_position_idx, since another program may have deleted the entries.
    """
    time = UTCDateTime()
    # Not EXISTS, of which PostgreSQL makes a join over all entries.
    any_entry = select(ONE).where(
        Entry.project_key == ClaudeSession.project_key, Entry.session_id == ClaudeSession.session_id
    )
    at = func.coalesce(ClaudeSession.last_said_at, ClaudeSession.updated_at)
    ours: Select[*tuple[Any, ...]] = select(
        ClaudeSession.project_key,
        ClaudeSession.session_id,
        at.label("at"),
        ClaudeSession.last_said_at.label("said"),
        ClaudeSession.updated_at.label("updated"),
        literal_column("0", Integer()).label("unplaced"),
    ).where(any_entry.correlate(ClaudeSession).limit(1).scalar_subquery().is_not(None))
    others: Select[*tuple[Any, ...]] = (
        select(
            Entry.project_key,
            Entry.session_id,
            func.max(Entry.created_at).label("at"),
            func.max(Entry.created_at).label("said"),
            func.max(case((Entry.subpath == MAIN, Entry.created_at))).label("updated"),
            literal_column("1", Integer()).label("unplaced"),
        )
        .where(unplaced())
        .group_by(Entry.project_key, Entry.session_id)
    )
    if "in_project" in given:
        ours = ours.where(ClaudeSession.project_key == PROJECT)
        others = others.where(Entry.project_key == PROJECT)
    written = union_all(ours, others).subquery("written")
    key = (written.c.project_key, written.c.session_id)
    newest = func.max(written.c.at, type_=time)
    page = (
        select(
            *key,
            newest.label("at"),
            func.max(written.c.updated, type_=time).label("updated"),
            func.max(written.c.unplaced).label("unplaced"),
        )
        .group_by(*key)
        .order_by(newest.desc().nulls_last(), *key)
    )
    if "since" in given:
        # Not by when they were stored: after an import that is today, whatever the lines are of.
        page = page.having(func.max(written.c.said, type_=time) >= bindparam("since", type_=time))
    if "most" in given:
        page = page.limit(bindparam("most", type_=Integer))
    return page


@cache
def _select_listed(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    """The sessions of a page, with their rows. Built once, which otherwise takes longer than the database."""
    listed = _select_page(given).cte("page").prefix_with("MATERIALIZED", dialect="postgresql")
    c = listed.c
    main = select(ONE).where(
        Entry.project_key == c.project_key, Entry.session_id == c.session_id, Entry.subpath == MAIN
    )
    row = ClaudeSession
    return (
        select(
            c.project_key,
            c.session_id,
            c.updated,
            c.unplaced,
            *(getattr(row, name) for name in _OF_ROWS),
            func.coalesce(is_true_fold(), false()).label("fresh"),
            main.correlate(listed).limit(1).scalar_subquery().is_not(None).label("has_main"),
        )
        .join_from(
            listed, row, and_(row.project_key == c.project_key, row.session_id == c.session_id), isouter=True
        )
        .order_by(c.at.desc().nulls_last(), c.project_key, c.session_id)
    )
