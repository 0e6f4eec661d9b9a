"""Follows a session live: every entry once, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Select, func, or_, select

from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.codec import Cipher, StoredAt, decode, open_entry
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import KeyLike, Session, SessionStoreEntry, Transcript, session_of
from boocode_sessions._core.statements.parameters import Entry, exact_text
from boocode_sessions._core.statements.read import comes_after
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.models import UNPLACED, ClaudeSession

PAGE_ROWS = 500


class Cursor(NamedTuple):
    """A place in a session to continue from. It stays valid if the session is deleted and begun again."""

    position: int = 0
    id: int = 0
    """Distinguishes rows of other programs that have no position yet."""


START = Cursor()

SessionLike: TypeAlias = Session | KeyLike
"""A session's key: a dict with `project_key` and `session_id`."""


@dataclass(frozen=True, slots=True)
class FollowedEntry:
    """One entry of a session that is followed."""

    position: int
    """The entry's place in the session; UNPLACED for a row of another program that nobody has placed."""
    id: int
    subpath: str
    """Empty for the main transcript."""
    text: str
    """The entry as exact JSON text."""

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.position, self.id)

    @property
    def entry(self) -> SessionStoreEntry:
        return decode(self.text)


@checked
def entries_after(
    bind: Bind,
    session: SessionLike,
    after: Cursor = START,
    *,
    subpath: str | None = None,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> list[FollowedEntry]:
    """Return the entries of a session after a cursor, oldest first, at most 500 of them.

    Rows of other programs that nobody has placed come last.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        session: The session's key, a dict with `project_key` and `session_id`.
        after: The cursor. The default is the session's start.
        subpath: Read only this transcript; `''` is the main one. The default is the whole session.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        SessionStoreError: The entries can't be read.
    """
    session = _session(session)
    statement = _select_after(session, subpath=subpath)
    named = {"after_position": after.position, "after_id": after.id}

    def opened(position: int, row_id: int, its_subpath: str, stored: str, key: bytes | None) -> FollowedEntry:
        at = StoredAt(Transcript(*session, its_subpath), position, key or b"")
        return FollowedEntry(position, row_id, its_subpath, open_entry(encryption, at, stored).decode())

    return UnitOfWork(bind, schema, encryption).read(
        f"follow {session}", lambda connection: [opened(*row) for row in connection.select(statement, named)]
    )


@checked
def cursor_before(
    bind: Bind, session: SessionLike, lines: int, *, subpath: str | None = None, schema: str | None = None
) -> Cursor:
    """Return the cursor before a session's last `lines` entries, for `follow` and `entries_after`.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        session: The session's key, a dict with `project_key` and `session_id`.
        lines: How many entries come after the cursor.
        subpath: Count only this transcript's entries; `''` is the main one. The default is the whole session.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: The entries can't be read.
    """
    check_at_least(0, lines=lines)
    session = _session(session)
    order = (Entry.position.desc(), Entry.id.desc())
    where = _where(session, subpath=subpath)
    before = select(Entry.position, Entry.id).where(*where).order_by(*order).offset(lines).limit(1)

    def work(connection: StoreConnection) -> Cursor:
        row = connection.select(before).first()
        return START if row is None else Cursor(*row)

    return UnitOfWork(bind, schema).read(f"follow {session}", work)


@checked
def follow(
    bind: Bind,
    session: SessionLike,
    after: Cursor = START,
    *,
    subpath: str | None = None,
    poll_seconds: float = 0.5,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> Iterator[FollowedEntry]:
    """Yield every entry of a session after a cursor, and then each new one. It never ends.

    It misses no entry: positions are given under the session's lock, so none appears below one that was seen.
    A row of another program is yielded when it appears, and not again when it gets its position.

    Args:
        bind: An Engine or sessionmaker.
        session: The session's key, a dict with `project_key` and `session_id`.
        after: The cursor. The default is the session's start.
        subpath: Follow only this transcript; `''` is the main one. The default is the whole session.
        poll_seconds: Seconds between two looks for new entries.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        SessionStoreError: The entries can't be read.
    """
    session = _session(session)
    shown: set[int] = set()
    if after.position == UNPLACED:
        after, shown = _resume_after_unplaced(UnitOfWork(bind, schema), session, after, subpath=subpath)
    at = after
    while True:
        page = entries_after(bind, session, at, subpath=subpath, schema=schema, encryption=encryption)
        for followed in page:
            if followed.position != UNPLACED:
                after = followed.cursor
            if followed.id not in shown:
                yield followed
            if followed.position == UNPLACED:
                shown.add(followed.id)
            else:
                shown.discard(followed.id)
        if len(page) == PAGE_ROWS:
            at = page[-1].cursor
        else:
            at = after
            time.sleep(poll_seconds)


def _session(given: SessionLike) -> Session:
    return given if isinstance(given, Session) else session_of(given)


def _resume_after_unplaced(
    unit_of_work: UnitOfWork, session: Session, after: Cursor, *, subpath: str | None
) -> tuple[Cursor, set[int]]:
    """Return where to continue after a row that had no position, and the ids that were shown already.

    Rows get their positions in the order of their ids. If this row has its position by now, nothing after it
    was shown.
    """
    where = _where(session, subpath=subpath)
    newest = select(func.max(Entry.position)).where(*where, Entry.position < UNPLACED).scalar_subquery()
    before = select(Entry.id, Entry.position, newest).where(*where, Entry.id <= after.id)

    def work(connection: StoreConnection) -> tuple[Cursor, set[int]]:
        unplaced = connection.select(
            before.where(or_(Entry.position == UNPLACED, Entry.id == after.id)).order_by(Entry.id)
        ).all()
        row_id, position, placed = unplaced[-1] if unplaced else (0, 0, None)
        if row_id != after.id:  # the row was deleted: those that came after it may have any position
            return START, {row_id for row_id, *_ in connection.select(before)}
        if position != UNPLACED:
            return Cursor(position, row_id), set()
        return Cursor(placed or 0, UNPLACED), {row_id for row_id, *_ in unplaced}

    return unit_of_work.read(f"follow {session}", work)


def _select_after(session: Session, *, subpath: str | None) -> Select[int, int, str, str, bytes | None]:
    """Select a page of a session's entries. Shape: (position, id, subpath, exact JSON text, dedup_key)."""
    next_position = (
        select(ClaudeSession.next_position)
        .where(
            ClaudeSession.project_key == session.project_key, ClaudeSession.session_id == session.session_id
        )
        .scalar_subquery()
    )
    return (
        select(Entry.position, Entry.id, Entry.subpath, exact_text(), Entry.dedup_key)
        .where(*_where(session, subpath=subpath), comes_after(_where(session, subpath=None), next_position))
        .order_by(Entry.position, Entry.id)
        .limit(PAGE_ROWS)
    )


def _where(session: Session, *, subpath: str | None) -> list[ColumnElement[bool]]:
    where = [Entry.project_key == session.project_key, Entry.session_id == session.session_id]
    return where if subpath is None else [*where, Entry.subpath == subpath]
