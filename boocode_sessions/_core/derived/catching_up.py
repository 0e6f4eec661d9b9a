"""Takes calls and tool uses from new entries, in short transactions beside live writers.

It reads committed entries and never locks a session's row, so no append waits for it. If a transcript is
deleted meanwhile, the digest ends up with another number of transcripts than the session has. The next query
then takes the session again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from boocode_sessions._core.codec import Extracted
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.records import Line, SessionRecords, micros
from boocode_sessions._core.derived.storing import Digest, store
from boocode_sessions._core.keys import Session
from boocode_sessions._core.statements import derived as statements
from boocode_sessions._core.statements import derived_reads
from boocode_sessions._core.statements.derived import CALLS, DIGESTS, TEXTS, USES, Within
from boocode_sessions._core.statements.parameters import among, in_parts, in_session
from boocode_sessions._core.statements.search import delete_words
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.models import UNPLACED

BATCH_LINES = 4000
"""About how many lines one transaction takes. Others who take lines wait for it; on SQLite all writers do."""
BATCH_SESSIONS = 200
LOCK_SECONDS = 5.0
"""How long to wait for another process that takes lines, since it does the same work."""


OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with the number of sessions that are done, and of all sessions."""


def no_progress(_done: int, _of: int) -> None:
    """Report progress to nobody."""


class Behind(NamedTuple):
    """A session whose digest is not up to date."""

    session: Session
    digest_id: int | None
    counted_to: int
    digested_transcripts: int
    next_position: int
    transcripts: int

    @property
    def changed(self) -> bool:
        """True if no entry is new, so that a transcript must have been deleted."""
        return self.digest_id is not None and self.counted_to >= self.next_position


class Coverage(NamedTuple):
    """How far the digests cover the sessions of a query."""

    behind: Sequence[Behind]
    orphans: Sequence[Digest]
    """Digests of sessions that no longer exist."""
    readable: bool = True
    """True if the derived tables may be read. If not, all sessions are behind."""


def is_readable(connection: StoreConnection) -> bool:
    """True if the user may read the derived tables."""
    if connection.dialect == "sqlite":
        return True
    dialect = connection.connection.dialect
    return connection.select(derived_reads.select_readable(dialect, connection.effective_schema)).scalar_one()


def read_coverage(connection: StoreConnection, named: Mapping[str, str]) -> Coverage:
    """Look for what is missing. `named` has the project and the session that a query names."""
    within = Within.named(named)
    if not is_readable(connection):
        sessions = connection.select(derived_reads.select_placed_sessions(within), named)
        whole = [Behind(Session(*row), None, 0, 0, UNPLACED, 0) for row in sessions]
        return Coverage(whole, (), readable=False)
    rows = connection.select(statements.select_behind(within), named)
    behind = [_behind(row) for row in rows]
    orphans = connection.select(statements.select_orphans(within), named)
    return Coverage(behind, [Digest(*row) for row in orphans])


def catch_up_all(unit_of_work: UnitOfWork, progress: OnProgress = no_progress) -> None:
    """Take what is missing from all sessions. Raises SessionStoreError."""
    coverage = unit_of_work.read("look for new entries", lambda it: read_coverage(it, {}))
    catch_up(unit_of_work, coverage, progress)


def catch_up(unit_of_work: UnitOfWork, coverage: Coverage, progress: OnProgress = no_progress) -> None:
    """Take what is missing. Raises SessionStoreError if that can't be stored; what is done stays."""
    for orphans in in_parts(coverage.orphans, BATCH_SESSIONS):
        unit_of_work.write(
            "remove what was taken from deleted sessions",
            partial(_lock_and_delete, orphans),
            lock_seconds=LOCK_SECONDS,
        )
    left: list[Session] = [item.session for item in coverage.behind]
    targets = {item.session: item.next_position for item in coverage.behind}
    renewed: frozenset[Session] = frozenset()
    while left:
        done, renewed = unit_of_work.write(
            "take calls and tool uses from new entries",
            partial(_digest_batch, tuple(left[:BATCH_SESSIONS]), targets, renewed),
            lock_seconds=LOCK_SECONDS,
        )
        left = [session for session in left if session not in done]
        progress(len(coverage.behind) - len(left), len(coverage.behind))


def read_lines(
    connection: StoreConnection, session: Session, start: int, end: int, most: int
) -> tuple[list[Line], int]:
    """Return a session's lines from `start` to before `end`, and how many of them begin a transcript."""
    parameters = {**in_session(session), "from_position": start, "to_position": end, "most": most}
    rows = connection.select(statements.select_lines(), parameters).all()
    return [_line(row) for row in rows], sum(row[-1] is True for row in rows)


def _behind(row: Sequence[Any]) -> Behind:
    return Behind(Session(*row[:2]), *row[2:])


def _line(row: Sequence[Any]) -> Line:
    row_id, position, stored_at, kind, said_at, *columns, text, _ = row
    said = None if said_at is None else micros(said_at)
    return Line(row_id, position, micros(stored_at), said, Extracted(kind, None, *columns), text)


def delete_digest(connection: StoreConnection, session: Session) -> None:
    """Remove what was taken from a session that this transaction deletes. Otherwise a later query does it."""
    lock(connection)
    found = connection.select(statements.select_digest(), in_session(session)).scalars().all()
    _delete_digests([Digest(session.project_key, digest) for digest in found], connection)


def _lock_and_delete(digests: Sequence[Digest], connection: StoreConnection) -> None:
    lock(connection)
    _delete_digests(digests, connection)


def _delete_digests(digests: Sequence[Digest], connection: StoreConnection) -> None:
    for digest in digests:
        _delete_rows(connection, digest)
        connection.write(statements.delete_of_digest(DIGESTS), digest.parameters)


def lock(connection: StoreConnection) -> None:
    """Keep others from taking lines until the commit. On SQLite a writer is alone anyway."""
    if connection.dialect == "sqlite":
        connection.write(statements.begin_to_write(), {})
    else:
        connection.select(statements.lock_catching_up(connection.effective_schema))


def _digest_batch(
    sessions: Sequence[Session],
    targets: Mapping[Session, int],
    renewed_before: frozenset[Session],
    connection: StoreConnection,
) -> tuple[set[Session], frozenset[Session]]:
    """Take about BATCH_LINES lines. Return the sessions that are done, and all that were begun anew."""
    lock(connection)
    found = _still_behind(connection, sessions)
    # Only these: an INSERT would wait for whoever is deleting a session, even though its digest is there.
    if new := [in_session(item.session) for item in found.values() if item.digest_id is None]:
        connection.write(statements.insert_digests(connection.dialect), new)
        found = _still_behind(connection, sessions)
    done = {session for session in sessions if session not in found}
    renewed = set(renewed_before)
    taken: list[tuple[Digest, SessionRecords]] = []
    lines = 0
    for place, item in enumerate(found.values()):
        if lines >= BATCH_LINES:
            break
        session = item.session
        if (digest := _lock_digest(connection, item, wait=not place)) is None:
            continue
        if item.changed and session in renewed_before:
            done.add(session)  # its entries keep changing in ways that no position shows
            continue
        start, transcripts = (0, 0) if item.changed else (item.counted_to, item.digested_transcripts)
        read, firsts = read_lines(connection, session, start, item.next_position, BATCH_LINES)
        lines += len(read)
        whole = len(read) < BATCH_LINES
        end = item.next_position if whole else read[-1].position + 1
        transcripts += firsts
        if item.changed or (whole and start and transcripts != item.transcripts):
            _delete_rows(connection, digest)
            connection.write(statements.set_searched(), {**digest.parameters, "searched_to": 0})
            renewed.add(session)
        if whole and start and transcripts != item.transcripts:
            end = transcripts = 0  # a transcript was deleted: the next batch takes the whole session again
        else:
            records = SessionRecords()
            for line in read:
                records.add(session, line)
            taken.append((digest, records))
            if whole and end >= targets[session]:
                done.add(session)
        progress = {**digest.parameters, "counted_to": end, "transcripts": transcripts}
        connection.write(statements.set_digest(), progress)
    store(connection, taken)
    return done, frozenset(renewed)


def _lock_digest(connection: StoreConnection, item: Behind, *, wait: bool) -> Digest | None:
    """Return a session's locked digest. None if somebody deletes the session, or began it again just now."""
    if item.digest_id is None:
        return None
    digest = Digest(item.session.project_key, item.digest_id)
    locked = connection.select(statements.lock_digest(wait=wait), digest.parameters).first()
    return None if locked is None else digest


def _still_behind(connection: StoreConnection, sessions: Sequence[Session]) -> dict[Session, Behind]:
    rows = connection.select(statements.select_behind(Within.named({}), some=True), among(sessions))
    return {item.session: item for item in map(_behind, rows)}


def _delete_rows(connection: StoreConnection, digest: Digest) -> None:
    if connection.dialect == "sqlite":
        connection.write(delete_words(), {"in_digest": digest.id})
    for table in (CALLS, USES, TEXTS):
        connection.write(statements.delete_of_digest(table), digest.parameters)
