"""A session followed live: every entry once, in the order of its storage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, select

from boocode_sessions._core.codec import decode
from boocode_sessions._core.keys import Session, SessionStoreEntry
from boocode_sessions._core.statements.contract import exact_text
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.models import ClaudeSessionEntry as Entry

PAGE_ROWS = 500


class FollowedEntry(NamedTuple):
    """One entry of a session that is followed."""

    id: int
    """Its place in the session: follow on from here."""
    subpath: str
    """Empty for the main transcript."""
    text: str
    """The entry as exact JSON text."""

    @property
    def entry(self) -> SessionStoreEntry:
        return decode(self.text)


def entries_after(
    bind: Bind, session: Session, after: int = 0, *, subpath: str | None = None, schema: str | None = None
) -> list[FollowedEntry]:
    """The entries of a session that follow an id, oldest first, at most a page of them.

    `subpath`: only that transcript's; `''` is the main one's, None the whole session's.

    Complete: writers of one session take turns, so that no entry appears below one that was seen. Only a
    program that writes past this package, without turns, could do that.
    """
    statement = _select_after(session, after, subpath=subpath)
    return Transactions(bind, schema).read(
        f"follow {session}",
        lambda tables: [FollowedEntry(*row) for row in tables.select(statement)],
    )


def id_before(
    bind: Bind, session: Session, lines: int, *, subpath: str | None = None, schema: str | None = None
) -> int:
    """The id after which a session's last `lines` entries come."""
    statement = _select_id_before(session, lines, subpath=subpath)
    return Transactions(bind, schema).read(
        f"follow {session}", lambda tables: tables.select(statement).scalar() or 0
    )


def follow(
    bind: Bind,
    session: Session,
    after: int = 0,
    *,
    subpath: str | None = None,
    poll_seconds: float = 0.5,
    schema: str | None = None,
) -> Iterator[FollowedEntry]:
    """Every entry of a session that follows an id, and then each new one within `poll_seconds`. Endless."""
    while True:
        page = entries_after(bind, session, after, subpath=subpath, schema=schema)
        for followed in page:
            after = followed.id
            yield followed
        if len(page) < PAGE_ROWS:
            time.sleep(poll_seconds)


def _select_after(session: Session, after: int, *, subpath: str | None) -> Select[int, str, str]:
    """A page of a session's entries. Shape: (id, subpath, exact JSON text)."""
    return (
        select(Entry.id, Entry.subpath, exact_text())
        .where(*_of(session, subpath=subpath), Entry.id > after)
        .order_by(Entry.id)
        .limit(PAGE_ROWS)
    )


def _select_id_before(session: Session, lines: int, *, subpath: str | None) -> Select[int]:
    """The id of the entry before a session's last `lines`. Shape: (id,), no row when there are fewer."""
    return (
        select(Entry.id)
        .where(*_of(session, subpath=subpath))
        .order_by(Entry.id.desc())
        .offset(lines)
        .limit(1)
    )


def _of(session: Session, *, subpath: str | None) -> list[ColumnElement[bool]]:
    where = [Entry.project_key == session.project_key, Entry.session_id == session.session_id]
    return where if subpath is None else [*where, Entry.subpath == subpath]
