"""SQL statements that list sessions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    select,
    union_all,
)

from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import PROJECT, Entry, are_among, unplaced
from boocode_sessions._core.statements.read import ONE, is_summary_current
from boocode_sessions.models import ClaudeSession

Key: TypeAlias = tuple[str, str]
"""A session's project_key and session_id."""


class Found(NamedTuple):
    """What the statements return for a session. Values from its row are None if it has no row."""

    project_key: str
    session_id: str
    updated: datetime | None
    unplaced: int
    """1 if it has rows that nobody has placed, else 0."""
    entries: int | None = None
    subagents: int | None = None
    bytes: int | None = None
    tokens: int | None = None
    first_said_at: datetime | None = None
    last_said_at: datetime | None = None
    data: str | None = None
    held: bool | None = None
    fresh: bool = False
    has_main: bool = False

    @property
    def key(self) -> Key:
        return self[:2]


_OF_ROWS = Found._fields[4:-2]
"""The values that a page takes from each session's row."""


def select_rows(projects: Collection[str]) -> Select[*tuple[Any, ...]]:
    """Select the rows of the sessions in `among`, which belong to these projects.

    Shape: (project_key, session_id, the values of `Found` that a row has) per session.
    """
    row = ClaudeSession
    return select(row.project_key, row.session_id, *_of_row(row)).where(
        row.project_key.in_(projects),  # tells a distributed database where the rows are
        *are_among(row.project_key, row.session_id),
    )


@cache
def select_page(given: frozenset[str], *, distributed: bool = False) -> Select[*tuple[Any, ...]]:
    """Select the sessions of a page. `given` names its parameters, out of in_project, since and most.

    Served by: claude_sessions_pkey, claude_session_entries_unplaced_idx, and probes of
    claude_session_entries_position_idx, because another program may have deleted the entries. PostgreSQL
    probes in the page's order, so that it can stop at the limit. A distributed database probes where the rows
    are.
    """
    time = UTCDateTime()
    at = func.coalesce(ClaudeSession.last_said_at, ClaudeSession.updated_at)
    ours: Select[*tuple[Any, ...]] = select(
        ClaudeSession.project_key,
        ClaudeSession.session_id,
        at.label("at"),
        ClaudeSession.last_said_at.label("said"),
        ClaudeSession.updated_at.label("updated"),
        literal_column("0", Integer()).label("unplaced"),
    )
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
    if distributed:
        ours = ours.where(_has_entries(ClaudeSession))
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
        # Not by storage time, which after an import is today, however old the lines are.
        page = page.having(func.max(written.c.said, type_=time) >= bindparam("since", type_=time))
    if not distributed:
        c = page.subquery("sorted").c
        page = select(*c).where(_has_entries(c)).order_by(*_order(c))
    if "most" in given:
        page = page.limit(bindparam("most", type_=Integer))
    return page


def _of_row(session: Any) -> Iterator[ColumnElement[Any]]:  # noqa: ANN401 - a model, or a subquery's columns
    """Yield what a page takes from a session's row. `session` has the session's key."""
    yield from (getattr(ClaudeSession, name) for name in _OF_ROWS)
    yield func.coalesce(is_summary_current(), false()).label("fresh")
    yield _has_entries(session, Entry.subpath == MAIN).label("has_main")


def _has_entries(session: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:  # noqa: ANN401 - as above
    """Condition: the session has such entries. Not EXISTS, which PostgreSQL makes a join over all of them."""
    its = (Entry.project_key == session.project_key, Entry.session_id == session.session_id)
    one = select(ONE).where(*its, *conditions)
    return one.correlate_except(Entry).limit(1).scalar_subquery().is_not(None)


def _order(c: Any) -> tuple[ColumnElement[Any], ...]:  # noqa: ANN401 - a subquery's columns
    return c.at.desc().nulls_last(), c.project_key, c.session_id


@cache
def select_listed(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    """Select the sessions of a page, with their rows. Cached: building it takes longer than running it."""
    listed = select_page(given).cte("page").prefix_with("MATERIALIZED", dialect="postgresql")
    c = listed.c
    row = ClaudeSession
    return (
        select(c.project_key, c.session_id, c.updated, c.unplaced, *_of_row(c))
        .join_from(
            listed, row, and_(row.project_key == c.project_key, row.session_id == c.session_id), isouter=True
        )
        .order_by(*_order(c))
    )
