"""Prunes sessions that nobody has appended to for long, and erases single ones.

It never removes part of a session: a resume reads the whole chain, and needs its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from boocode_sessions._core import operations
from boocode_sessions._core.append.place import lock_row
from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived import catching_up
from boocode_sessions._core.greenlets import pause as wait
from boocode_sessions._core.keys import KeyLike, Session, project_of, session_of
from boocode_sessions._core.statements import maintenance as statements
from boocode_sessions._core.statements.derived import CALLS, DIGESTS, TEXTS, USES
from boocode_sessions._core.statements.parameters import (
    ENTRIES,
    SESSIONS,
    in_session,
    in_sessions,
    table_name,
)
from boocode_sessions._core.statements.search import merge_words
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork, run_over
from boocode_sessions.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class PrunedSession:
    """A session that was removed, or would be."""

    project_key: str
    session_id: str
    entries: int
    """The entries of all its transcripts."""
    bytes: int
    """The size of those entries in the database, without indexes. PostgreSQL compresses them."""
    last_append: datetime | None
    """Storage time of the last append; None for a session without entries."""


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


@checked
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
    """Remove sessions that had no append for a time, with all their transcripts. If stopped, run it again.

    It is safe beside live writers: it checks each session again and removes it while the session's writers
    wait. An append comes either before, and keeps the session, or after, and begins a new one. Appends that
    take no lock (the TypeScript adapters') are noticed until the COMMIT is sent. A transaction removes
    sessions of one project, about 5,000 entries together. A session that somebody else has locked is removed
    alone, so that no transaction holds sessions while it waits for another.

    Args:
        bind: An Engine or sessionmaker. Over a Connection or Session, writers wait for your transaction.
        inactive_for: The time without an append, by the storage clock: an import counts as an append.
        project_key: Prune only this project.
        keep: How many of each project's newest sessions stay, however old. Sessions on `hold` always stay.
        dry_run: Only return what would be removed.
        batch: Most sessions that one transaction removes.
        pause: Seconds to wait after so many sessions.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        progress: Called with each session once it is removed.

    Raises:
        ValueError: A number or `inactive_for` is negative, or `batch` is 0.
        SessionStoreError: The database failed. What was removed until then stays removed.
    """
    if inactive_for < timedelta(0):
        raise ValueError("inactive_for is negative: it would remove sessions that are being written")
    check_at_least(1, batch=batch)
    check_at_least(0, keep=keep, pause=pause)
    if project_key is not None:
        project_key = project_of(project_key)
    unit_of_work = UnitOfWork(bind, schema)

    def find(connection: StoreConnection) -> tuple[datetime, list[tuple[Session, int]]]:
        before = _subtract(connection.select(statements.select_clock()).scalar_one(), inactive_for)
        statement = statements.select_prunable(of_project=project_key is not None)
        rows = connection.select(statement, {"in_project": project_key, "before": before, "keep": keep})
        return before, [(Session(project, session_id), entries) for project, session_id, entries in rows]

    before, candidates = unit_of_work.scan("look for sessions to prune", find)
    removed: list[PrunedSession] = []
    waited_at = 0
    for sessions in _batches(candidates, batch):
        if dry_run:
            look = partial(_inactive, sessions=sessions, before=before)
            removed += unit_of_work.scan(f"look at {len(sessions)} sessions", look)
            continue
        for found in _remove(unit_of_work, sessions, before):
            removed.append(found)
            if progress is not None:
                progress(found)
        if len(removed) >= waited_at + batch and unit_of_work.own:
            wait(pause)
            waited_at = len(removed)
    return PruneResult(removed, dry_run)


_MAX_ENTRIES = 5000
"""Maximum entries that one transaction removes, unless one session has more: their writers wait for it."""


def _batches(candidates: Sequence[tuple[Session, int]], most: int) -> Iterator[list[Session]]:
    """Split the candidates, which come project by project, into the batches of one transaction each."""
    batch: list[Session] = []
    total = 0
    for session, entries in candidates:
        total += max(1, entries)
        full = len(batch) == most or total > _MAX_ENTRIES
        if batch and (full or session.project_key != batch[0].project_key):
            yield batch
            batch, total = [], entries
        batch.append(session)
    if batch:
        yield batch


@checked
def hold(bind: Bind, key: KeyLike, *, schema: str | None = None) -> None:
    """Exempt a session from pruning, even before it is first written. Deleting and erasing still remove it.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        key: The session's key, a dict with `project_key` and `session_id`.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: The key is refused, or the database can't be written.
    """
    session = session_of(key)

    def operation(connection: StoreConnection) -> None:
        lock_row(connection, session)  # makes the row of a session that is yet to be written
        connection.write(statements.set_held(), {**in_session(session), "hold": True})

    UnitOfWork(bind, schema).write(f"hold {session}", operation)


@checked
def release(bind: Bind, key: KeyLike, *, schema: str | None = None) -> None:
    """Like `hold`, but end the exemption. A session that is not on hold is no error."""
    session = session_of(key)
    UnitOfWork(bind, schema).write(
        f"release {session}",
        lambda connection: connection.write(statements.set_held(), {**in_session(session), "hold": False}),
    )


@checked
def erase(bind: Engine, key: KeyLike, *, schema: str | None = None) -> int:
    """Erase a session from the tables and the database's files, and return how many entries it had.

    On PostgreSQL it vacuums our tables beside live writers. The files keep the bytes of deleted rows until
    new rows take their space, and the search index keeps single words; VACUUM FULL rewrites it all, but
    blocks all writers. On SQLite it rewrites the file and empties the write-ahead log, which fails while
    others read. Backups, archived WAL and replicas keep the rows: see docs/retention.md.

    Args:
        bind: An Engine, because a VACUUM can't be in a transaction.
        key: The session's key. A hold does not protect it. A session that is not there is no error.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: If the deletion failed, nothing was erased. If the VACUUM failed, run it again.
    """
    session = session_of(key)
    unit_of_work = UnitOfWork(bind, schema)

    def remove(connection: StoreConnection) -> int:
        lock_row(connection, session)
        statement = statements.select_content(connection.dialect)
        content = connection.select(statement, in_sessions([session])).first()
        catching_up.delete_digest(connection, session)
        operations.remove(connection, [session])
        if connection.dialect == "sqlite":
            connection.write(merge_words(), {})
        return 0 if content is None else content[1]

    entries = unit_of_work.write(f"erase {session}", remove)
    _vacuum(bind, schema, f"vacuum after {session} was deleted")
    return entries


def _vacuum(engine: Engine, schema: str | None, operation: str) -> None:
    def work(raw: Connection) -> None:
        # With no_parameters a `%` in a name is not taken for a placeholder.
        connection = raw.execution_options(isolation_level="AUTOCOMMIT", no_parameters=True)
        where = StoreConnection(connection, schema).effective_schema
        tables = ", ".join(table_name(one.name, engine.dialect, where) for one in _TABLES)
        on_sqlite = engine.dialect.name == "sqlite"
        connection.exec_driver_sql("VACUUM" if on_sqlite else f"VACUUM {tables}")
        if on_sqlite and connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            raise DatabaseError(f"{operation}: others are reading; erase again when they have ended")

    run_over(engine, operation, work)


_TABLES = (ENTRIES, SESSIONS, DIGESTS, CALLS, USES, TEXTS)


def _subtract(now: datetime, span: timedelta) -> datetime:
    try:
        return now - span
    except OverflowError:  # before the first year
        return datetime.min.replace(tzinfo=UTC)


def _remove(unit_of_work: UnitOfWork, sessions: Sequence[Session], before: datetime) -> list[PrunedSession]:
    """Remove the inactive ones of a project's sessions in one transaction, and locked ones one by one."""

    def operation(connection: StoreConnection) -> tuple[list[PrunedSession], Sequence[Session]]:
        rows = connection.select(statements.select_retained(), in_sessions(sessions))
        there = {session_id: updated_at for session_id, _, updated_at in rows}
        locked = _lock(connection, sessions)
        found = _inactive(connection, [session for session in sessions if session in locked], before)
        gone = [Session(one.project_key, one.session_id) for one in found]
        # A session without an append that had one, or had no row, before the lock: another prune removed it
        # in between, and its row is one that our lock made.
        found = [one for one in found if one.last_append or there.get(one.session_id, before) is None]
        content = statements.select_content(connection.dialect)
        if gone:
            catching_up.lock(connection)  # catching up locks sessions in another order
            with connection.connection.begin_nested() as savepoint:
                operations.remove(connection, gone)
                if connection.select(content, in_sessions(gone)).first() is not None:
                    savepoint.rollback()  # a writer that does not lock its session has appended
                    return [], sessions
        return found, [session for session in sessions if session not in locked]

    label = sessions[0] if len(sessions) == 1 else f"{len(sessions)} sessions"
    found, left = unit_of_work.write(f"prune {label}", operation)
    if len(sessions) > 1:
        for session in left:
            found += _remove(unit_of_work, [session], before)
    return found


def _lock(connection: StoreConnection, sessions: Sequence[Session]) -> Collection[Session]:
    """Lock one session, or those of a project's sessions that nobody else has locked."""
    if len(sessions) == 1 or connection.dialect == "sqlite":  # SQLite's lock is the whole database's
        lock_row(connection, sessions[0])
        return sessions
    free = connection.select(statements.lock_free_sessions(), in_sessions(sessions)).scalars()
    return {Session(sessions[0].project_key, session_id) for session_id in free}


def _inactive(
    connection: StoreConnection, sessions: Sequence[Session], before: datetime
) -> list[PrunedSession]:
    if not sessions:
        return []
    named = in_sessions(sessions)
    rows = {row[0]: row[1:] for row in connection.select(statements.select_retained(), named)}
    content = statements.select_content(connection.dialect)
    contents = {row[0]: row[1:] for row in connection.select(content, named)}
    found: list[PrunedSession] = []
    for session in sessions:
        held, updated_at = rows.get(session.session_id, (False, None))
        entries, size, newest = contents.get(session.session_id, (0, 0, None))
        last = max((at for at in (newest, updated_at) if at is not None), default=None)
        there = entries or session.session_id in rows  # if not, another prune has removed it
        if there and not held and (last is None or last < before):
            found.append(PrunedSession(*session, entries, size, last))
    return found
