"""Reads from the entries what a query needs and the derived tables lack."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Select, select

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import Behind, Coverage, catch_up, read_coverage, read_lines
from boocode_sessions._core.derived.records import CallRecord, Key, SessionRecords, ToolUseRecord, line_of
from boocode_sessions._core.keys import Session
from boocode_sessions._core.statements import derived as statements
from boocode_sessions._core.statements import derived_reads
from boocode_sessions._core.statements.derived import Within
from boocode_sessions._core.statements.parameters import among, are_among, in_parts
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import (
    EncryptionError,
    RefusedError,
    RetryableError,
    SessionStoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedBindError,
)
from boocode_sessions.models import SessionCall, SessionDigest, SessionToolUse

_log = logging.getLogger(__name__)
_EXPECTED = (RefusedError, RetryableError, TimedOutError, UnavailableError, UnsupportedBindError)

T = TypeVar("T")
PAGE_LINES = 10_000
_VALUES_A_STATEMENT = 500


class Missing(NamedTuple):
    """What was read from the entries."""

    records: Mapping[Session, SessionRecords]
    open: frozenset[int]
    """Digests of the sessions of these records, and of those that share a call with them. Their calls are
    merged one by one, and not summed up in the database."""
    dead: frozenset[int]
    """Digests that hold what no longer exists. Their rows don't count."""
    readable: bool
    """True if the derived tables may be read. If not, these records are all there is."""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of `statements.derived_reads.DerivedQuery`."""
        if not self.open_sessions:
            return {}
        return {"open": json.dumps(sorted(self.open | self.dead)), "dead": json.dumps(sorted(self.dead))}

    @property
    def open_sessions(self) -> bool:
        return bool(self.open or self.dead)


def ask(
    bind: Bind,
    schema: str | None,
    operation: str,
    named: Mapping[str, str],
    question: Callable[[StoreConnection, Missing], T],
) -> T:
    """Answer a query from the derived tables.

    First it stores what they lack. If nothing may be written, it reads that from the entries instead. It does
    the same over a Connection or a Session, whose transaction isn't ours to write in.

    Args:
        named: The project (`in_project`) and the session (`in_session`) that the query names.
        question: Called with the connection and what was read from the entries.
    """
    unit_of_work = UnitOfWork(bind, schema)
    is_there = try_to_catch_up(unit_of_work, named)

    def answer(connection: StoreConnection) -> T:
        coverage = Coverage((), ()) if is_there else read_coverage(connection, named)
        return question(connection, find_missing(connection, coverage, named))

    # How long reading entries takes depends on their number, so that has no deadline.
    return unit_of_work.read(operation, answer) if is_there else unit_of_work.scan(operation, answer)


def try_to_catch_up(unit_of_work: UnitOfWork, named: Mapping[str, str]) -> bool:
    """Take what is missing. Return True if nothing is missing any more.

    It takes nothing over a Connection or a Session, whose transaction isn't ours to write in.
    """
    if not unit_of_work.own:
        return False
    coverage = unit_of_work.read("look for new entries", lambda it: read_coverage(it, named))
    if not coverage.readable:
        return False
    if not (coverage.behind or coverage.orphans):
        return True
    return try_to_write(lambda: catch_up(unit_of_work, coverage))


def try_to_write(write: Callable[[], None]) -> bool:
    """True if `write` could write the derived tables. If not, the answer is the same, only slower.

    That is normal on a replica, for a role that may only read, and when a lock is held. Any other reason is
    logged.
    """
    try:
        write()
    except EncryptionError:
        raise  # reading the entries would fail too
    except _EXPECTED:
        return False
    except SessionStoreError as error:
        _log.warning("questions are answered slowly, from the entries: %s", error)
        return False
    return True


def find_missing(connection: StoreConnection, coverage: Coverage, named: Mapping[str, str]) -> Missing:
    """Read what the derived tables lack."""
    records: dict[Session, SessionRecords] = {}
    opened: set[int] = set()
    dead = {orphan.id for orphan in coverage.orphans}
    for item in coverage.behind:
        records[item.session] = SessionRecords()
        whole = _read_behind(connection, item, records[item.session])
        if item.digest_id is not None:
            (opened if whole else dead).add(item.digest_id)
    unplaced: set[Session] = set()
    for row in connection.select(statements.select_unplaced_lines(Within.named(named)), named):
        session = Session(row[0], row[1])
        line = line_of(*row[2:])
        if line is not None:
            records.setdefault(session, SessionRecords()).add(session, line)
            unplaced.add(session)
    if not coverage.readable:
        return Missing(records, frozenset(), frozenset(), readable=False)
    opened |= set(_digests_of(connection, unplaced)) - dead
    calls = {call for of_session in records.values() for call, _ in of_session.calls}
    uses = {use for of_session in records.values() for use, _ in of_session.uses}
    for model, known in ((SessionCall, calls), (SessionToolUse, uses)):
        opened |= _select_each(connection, derived_reads.select_digests_of(model), "calls", known)
    return Missing(records, frozenset(opened - dead), frozenset(dead), readable=True)


def _read_behind(connection: StoreConnection, item: Behind, records: SessionRecords) -> bool:
    """Read what a digest lacks. Return True if what it has is right; if not, the whole session was read."""
    start, transcripts = item.counted_to, item.digested_transcripts
    if not item.changed:
        transcripts += _read(connection, item.session, start, item.next_position, records)
        if not start or transcripts == item.transcripts:
            return True
        records.calls.clear()
        records.uses.clear()
    _read(connection, item.session, 0, item.next_position, records)
    return False


def _read(
    connection: StoreConnection, session: Session, start: int, end: int, records: SessionRecords
) -> int:
    transcripts = 0
    while True:
        lines, firsts = read_lines(connection, session, start, end, PAGE_LINES)
        transcripts += firsts
        for line in lines:
            records.add(session, line)
        if len(lines) < PAGE_LINES:
            return transcripts
        start = lines[-1].position + 1


def _digests_of(connection: StoreConnection, sessions: Collection[Session]) -> Sequence[int]:
    statement = select(SessionDigest.id).where(
        *are_among(SessionDigest.project_key, SessionDigest.session_id)
    )
    return connection.select(statement, among(sessions)).scalars().all() if sessions else ()


def _select_each(
    connection: StoreConnection, statement: Select[T], parameter: str, values: Collection[object]
) -> set[T]:
    """Return what a statement selects for so many values that one parameter can't hold them."""
    found: set[T] = set()
    for some in in_parts(list(values), _VALUES_A_STATEMENT):
        found |= set(connection.select(statement, {parameter: some}).scalars())
    return found


class CountedRecords(NamedTuple):
    """The records of a session that count, without copies from sessions that still exist."""

    session: Session
    calls: Mapping[Key, CallRecord]
    uses: Mapping[Key, ToolUseRecord]


def counted_records(connection: StoreConnection, missing: Missing) -> list[CountedRecords]:
    """Return the records that count, out of those that were read from the entries."""
    origins = {
        origin
        for records in missing.records.values()
        for _, origin in itertools.chain(records.calls, records.uses)
        if origin
    }
    there = _select_each(connection, derived_reads.select_existing(), "sessions", origins)
    return [
        CountedRecords(
            session,
            {key: record for key, record in records.calls.items() if key[1] not in there},
            {key: record for key, record in records.uses.items() if key[1] not in there},
        )
        for session, records in missing.records.items()
    ]
