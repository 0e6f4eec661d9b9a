"""Pruning: whole sessions that nobody has appended to for long; and erasing one.

Never part of a session: a resume reads the whole chain, and a transcript without its head is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from boocode_sessions._core import operations
from boocode_sessions._core.append.place import lock_row
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.database_errors import translate
from boocode_sessions._core.derived.catching_up import forget
from boocode_sessions._core.greenlets import pause as wait
from boocode_sessions._core.keys import (
    MAIN,
    KeyLike,
    Session,
    Transcript,
    project_of,
    session_of,
)
from boocode_sessions._core.statements import maintenance as statements
from boocode_sessions._core.statements.asking import TEXTS
from boocode_sessions._core.statements.derived import CALLS, DIGESTS, USES
from boocode_sessions._core.statements.parameters import ENTRIES, SESSIONS, in_session, table_name
from boocode_sessions._core.statements.search import merge_words
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import DatabaseError, SessionStoreError


@dataclass(frozen=True, slots=True)
class PrunedSession:
    """A session that was removed, or would be."""

    project_key: str
    session_id: str
    entries: int
    """Of all its transcripts."""
    bytes: int
    """Of those entries as the database holds them: on PostgreSQL compressed, without indexes."""
    last_append: datetime | None
    """Storage time; None for a session that has no entries."""


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What was removed, or would be."""

    sessions: Sequence[PrunedSession]
    dry_run: bool

    @property
    def entries(self) -> int:
        return sum(session.entries for session in self.sessions)

    @property
    def bytes(self) -> int:
        return sum(session.bytes for session in self.sessions)


def prune(
    bind: Bind,
    *,
    inactive_for: timedelta,
    project_key: str | None = None,
    keep: int = 0,
    dry_run: bool = False,
    batch: int = 100,
    pause: float = 0.1,
    schema: str | None = None,
    progress: Callable[[PrunedSession], None] | None = None,
) -> PruneResult:
    """Remove the sessions of which no transcript had an append for so long, with all that belongs to them.

    `inactive_for`: by the storage clock, so that an import counts as an append. `project_key`: only that
    project's. `keep`: so many of each project's newest sessions stay, however old. A session on `hold` stays.
    `dry_run`: only say what would be removed. `batch`, `pause`: after so many sessions, wait so many seconds.
    `progress`: called with each session once it is removed.

    Safe beside live writers: each session is looked at again and removed in a transaction of its own while
    its writers wait, so that an append either comes before, and keeps the whole session, or after, and begins
    a new one. A program that does not lock it (the TypeScript adapters) is noticed until the COMMIT is sent.
    Over a Connection or a Session everything is in the caller's transaction, and those writers wait for it.

    Stopped in between, it is simply run again.
    """
    if inactive_for < timedelta(0):
        raise ValueError("inactive_for is negative: it would remove sessions that are being written")
    if batch < 1 or keep < 0 or pause < 0:
        raise ValueError("batch is 1 or more, keep and pause are not negative")
    if project_key is not None:
        project_key = project_of(project_key)
    unit_of_work = UnitOfWork(bind, schema)

    def find(connection: StoreConnection) -> tuple[datetime, list[Session]]:
        before = _earlier(connection.select(statements.select_clock()).scalar_one(), inactive_for)
        statement = statements.select_prunable(of_project=project_key is not None)
        rows = connection.select(statement, {"in_project": project_key, "before": before, "keep": keep})
        return before, [Session(project, session_id) for project, session_id in rows]

    before, candidates = unit_of_work.scan("look for sessions to prune", find)
    removed: list[PrunedSession] = []
    for session in candidates:
        found = _look(unit_of_work, session, before) if dry_run else _remove(unit_of_work, session, before)
        if found is None:
            continue
        removed.append(found)
        if dry_run:
            continue
        if progress is not None:
            progress(found)
        if len(removed) % batch == 0 and unit_of_work.own:
            wait(pause)
    return PruneResult(removed, dry_run)


def hold(bind: Bind, key: KeyLike, *, schema: str | None = None) -> None:
    """Exempt a session from pruning, also one that is yet to be written. A deletion still removes it."""
    session = session_of(key)

    def operation(connection: StoreConnection) -> None:
        lock_row(connection, session)  # makes the row of a session that is yet to be written
        connection.write(statements.set_held(), {**in_session(session), "hold": True})

    UnitOfWork(bind, schema).write(f"hold {session}", operation)


def release(bind: Bind, key: KeyLike, *, schema: str | None = None) -> None:
    """End a session's hold. One that was not on hold is no error."""
    session = session_of(key)
    UnitOfWork(bind, schema).write(
        f"release {session}",
        lambda connection: connection.write(statements.set_held(), {**in_session(session), "hold": False}),
    )


def erase(bind: Engine, key: KeyLike, *, schema: str | None = None) -> int:
    """Remove a session for good: its rows, and then what is left of them in the database's files.

    Deleted rows stay in the files until they are vacuumed. On PostgreSQL this vacuums our tables, beside
    live writers: no statement reaches the rows any more, and their space is given to new ones, but a
    reader of the files may find them until it is written over, and the single words in the index for search;
    VACUUM FULL rewrites the files and indexes, and keeps all writers out meanwhile. On SQLite this writes the
    whole file anew, and empties the write-ahead log, which fails while others read. Backups, archived WAL and
    replicas keep what they have: see docs/retention.md.

    Args:
        bind: An Engine: a VACUUM is in no transaction.
        key: The session. One on hold is erased too. One that is not there is no error.
        schema: Where the tables are, when the connection's search path does not lead there.

    Returns:
        How many entries there were.

    Raises:
        SessionStoreError: Where the deletion failed, nothing is erased; where the VACUUM did, run it again.
    """
    session = session_of(key)
    unit_of_work = UnitOfWork(bind, schema)

    def remove(connection: StoreConnection) -> int:
        lock_row(connection, session)
        entries = connection.select(statements.select_content(connection.dialect), in_session(session)).one()[
            0
        ]
        operations.delete(connection, Transcript(*session, MAIN))
        forget(connection, session)
        if connection.dialect == "sqlite":
            connection.write(merge_words(), {})
        return entries

    entries = unit_of_work.write(f"erase {session}", remove)
    _vacuum(bind, schema, f"vacuum after {session} was deleted")
    return entries


def _vacuum(engine: Engine, schema: str | None, operation: str) -> None:
    failure: SessionStoreError | None = None
    dialect = engine.dialect
    try:
        with engine.connect() as raw, raw.execution_options(isolation_level="AUTOCOMMIT") as connection:
            where = StoreConnection(connection, schema).effective_schema
            tables = ", ".join(table_name(one.name, dialect, where) for one in _TABLES)
            # The driver's own: our SQLite engines begin a transaction before a statement of SQLAlchemy's.
            cursor = connection.connection.cursor()
            for statement in _REWRITE if dialect.name == "sqlite" else (f"VACUUM {tables}",):
                cursor.execute(statement)
            busy = cursor.fetchone() if dialect.name == "sqlite" else None
            if busy is not None and busy[0]:
                failure = DatabaseError(f"{operation}: others are reading; erase again when they have ended")
            cursor.close()
    except (SQLAlchemyError, dialect.loaded_dbapi.Error) as error:
        failure = translate(error, operation)
    if failure is not None:
        raise failure


_TABLES = (ENTRIES, SESSIONS, DIGESTS, CALLS, USES, TEXTS)
_REWRITE = ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")


def _earlier(now: datetime, span: timedelta) -> datetime:
    try:
        return now - span
    except OverflowError:  # before the first year
        return datetime.min.replace(tzinfo=UTC)


def _look(unit_of_work: UnitOfWork, session: Session, before: datetime) -> PrunedSession | None:
    return unit_of_work.scan(f"look at {session}", lambda connection: _inactive(connection, session, before))


def _remove(unit_of_work: UnitOfWork, session: Session, before: datetime) -> PrunedSession | None:
    def operation(connection: StoreConnection) -> PrunedSession | None:
        lock_row(connection, session)
        found = _inactive(connection, session, before)
        if found is None:
            return None
        with connection.connection.begin_nested() as savepoint:
            operations.delete(connection, Transcript(*session, MAIN))
            if connection.select(statements.select_content(connection.dialect), in_session(session)).one()[0]:
                savepoint.rollback()  # a writer that does not lock the session came in between
                return None
        return found

    return unit_of_work.write(f"prune {session}", operation)


def _inactive(connection: StoreConnection, session: Session, before: datetime) -> PrunedSession | None:
    """What there is to remove, when nobody has appended since `before`, and the session is not on hold."""
    summary = connection.select(statements.select_retained(), in_session(session)).one_or_none()
    entries, size, newest = connection.select(
        statements.select_content(connection.dialect), in_session(session)
    ).one()
    held, updated_at = summary or (False, None)
    last = max((at for at in (newest, updated_at) if at is not None), default=None)
    if held or (last is not None and last >= before):
        return None
    return PrunedSession(*session, entries, size, last)
