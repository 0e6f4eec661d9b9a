"""Appends over an Engine or a sessionmaker: each is its own transaction and lands exactly once.

The appender remembers where it left each session. While the session's row still says the same, nobody else
has written, and the plan alone appends. Otherwise the append first locks and reads the session (`place`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cachetools import LRUCache
from sqlalchemy import Engine

from boocode_sessions._core import fold
from boocode_sessions._core.append.in_doubt import CallsInDoubt
from boocode_sessions._core.append.place import drop_known, lock
from boocode_sessions._core.append.plan import (
    Plan,
    Version,
    fits_in_one,
    in_one_parameters,
    make_plans,
    run_plan,
    runs_in_one,
)
from boocode_sessions._core.append.request import AppendRequest, Fence
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.distributed import known_distributed
from boocode_sessions._core.keys import KeyLike, Session, transcript_of
from boocode_sessions._core.statements.append import PlanKind, append_in_one
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.errors import (
    DatabaseError,
    SessionStoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedBindError,
)

REMEMBERED_SESSIONS = 4096


class Outcome(NamedTuple):
    """The result of an append."""

    landed: bool
    error: SessionStoreError | None = None
    """Why it did not land. With `landed` False and no error, the session must be locked and read first."""


LANDED = Outcome(landed=True)
STALE = Outcome(landed=False)


class Appender:
    """Appends over one bind. Safe to call from any thread."""

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work
        self._versions: LRUCache[Session, Version] = LRUCache(REMEMBERED_SESSIONS)
        self._lock = threading.Lock()
        self.in_doubt = CallsInDoubt()

    def request(
        self, key: KeyLike, entries: Sequence[Mapping[str, Any]], fence: Fence | None = None
    ) -> AppendRequest | None:
        """Check and encode one call. Return None if there is nothing to write.

        Raises InvalidKeyError, InvalidEntryError.
        """
        request = self.in_doubt.request(transcript_of(key), entries, fence)
        fold.available()  # Import the SDK now: inside the transaction, that would hold the lock for a second.
        return request if request.encoded else None

    def run(self, request: AppendRequest) -> None:
        """Append, on the quick path if possible. Raises SessionStoreError."""
        (outcome,) = self.run_known([request])
        if outcome is STALE:
            outcome = self.run_locked(request)
        if outcome.error is not None:
            raise outcome.error

    def run_known(self, requests: Sequence[AppendRequest]) -> list[Outcome]:
        """Append to sessions that are still at the version that we know. No two requests share a session.

        This never waits for a session that another transaction has locked. If the database refuses one
        append, none of the batch lands, and the caller gives each to `run_locked`, where it fails alone.
        """
        # Every process sorts sessions the same way, so that batches that share sessions can't deadlock.
        ordered = sorted(range(len(requests)), key=lambda place: requests[place].session)
        plans = {place: found for place in ordered if (found := self._plans(requests[place]))}
        outcomes = [STALE] * len(requests)
        if not plans:
            return outcomes
        batch = [requests[place] for place in plans]
        for request in batch:
            self._forget(request.session)
        try:
            done = self._run_all(batch, list(plans.values()))
        except SessionStoreError as error:
            if affects_whole_batch(error):
                for place in plans:
                    outcomes[place] = Outcome(landed=False, error=error)
            return outcomes
        for (place, its_plans), landed in zip(plans.items(), done, strict=True):
            if landed:
                self._landed(requests[place], its_plans[-1].then)
                outcomes[place] = LANDED
        return outcomes

    def run_locked(self, request: AppendRequest, lock_seconds: float | None = None) -> Outcome:
        """Append in a transaction that first locks and reads the session.

        `lock_seconds` is how long to wait for the lock; the default is the engine's own limit.
        """
        known = self._forget(request.session)
        try:
            version = self._unit_of_work.write(
                request.label,
                lambda connection: append_locked(connection, request, known),
                lambda: self.in_doubt.remember(request),
                lock_seconds=lock_seconds,
            )
        except SessionStoreError as error:
            return Outcome(landed=False, error=error)
        self._landed(request, version)
        return LANDED

    def _plans(self, request: AppendRequest) -> Sequence[Plan]:
        """Make plans from the version that we know. Empty if we know none, or if it isn't enough."""
        with self._lock:
            version = self._versions.get(request.session)
        if version is None or request.transcript.subpath not in version.tails:
            return ()
        if len({item.dedup_key for item in request.encoded}) < len(request.encoded):
            return ()
        return make_plans(
            request.transcript,
            request.encoded,
            version,
            guarded=True,
            fence=request.fence,
            cipher=self._unit_of_work.cipher,
        )

    def _run_all(self, batch: Sequence[AppendRequest], plans: Sequence[Sequence[Plan]]) -> list[bool]:
        """Run the plans of each request. Return True for each that landed; the others wrote nothing."""

        def in_doubt() -> None:
            for request in batch:
                self.in_doubt.remember(request)

        def work(connection: StoreConnection) -> list[bool]:
            every = [plan for its_plans in plans for plan in its_plans]
            in_one = all(runs_in_one(connection, plan) for plan in every)
            if len(every) > 1 and in_one and pipelines(connection):
                run_pipelined(connection, every)
                return [True] * len(plans)
            return [run_plans(connection, its_plans) for its_plans in plans]

        label = batch[0].label if len(batch) == 1 else f"append to {len(batch)} sessions"
        unit_of_work = self._unit_of_work
        alone = len(plans) == 1 and len(plans[0]) == 1 and fits_in_one(plans[0][0])
        # A distributed database runs the plan as steps, which need a transaction. Use one until we know.
        alone = alone and self.distributed is False
        write: Callable[..., list[bool]] = unit_of_work.write_atomic if alone else unit_of_work.write
        return write(label, work, in_doubt)

    @property
    def distributed(self) -> bool | None:
        """True if the database is distributed; None while nobody has asked it yet."""
        bind = self._unit_of_work.bind
        return known_distributed(bind.pool) if isinstance(bind, Engine) else None

    def _forget(self, session: Session) -> Version | None:
        with self._lock:
            return self._versions.pop(session, None)

    def _landed(self, request: AppendRequest, version: Version) -> None:
        with self._lock:
            self._versions[request.session] = version
        self.in_doubt.forget(request)


def pipelines(connection: StoreConnection) -> bool:
    """True if the driver pipelines a statement's parameter sets, and counts the rows they all return."""
    return connection.connection.dialect.driver in {"psycopg", "psycopg_async"}


def run_pipelined(connection: StoreConnection, plans: Sequence[Plan]) -> None:
    """Run many plans in one round trip.

    For 25 sessions that takes half the time and a third of the client's work (benchmarks: `at-once`).
    Raises StaleVersionError unless all plans land.
    """
    by_kind: dict[PlanKind, list[Plan]] = {}
    for plan in plans:
        by_kind.setdefault(plan.kind, []).append(plan)
    for kind, alike in by_kind.items():
        if connection.count_rows(
            append_in_one(kind), [in_one_parameters(connection, plan) for plan in alike]
        ) != len(alike):
            raise StaleVersionError


def run_plans(connection: StoreConnection, plans: Sequence[Plan]) -> bool:
    """Run the plans of one append in the caller's transaction. Return True if they landed."""
    first, *rest = plans
    if not run_plan(connection, first):
        return False
    for plan in rest:
        if not run_plan(connection, plan):
            # The first page locked the row: only a program that takes no locks can have written since.
            raise StaleVersionError
    return True


class StaleVersionError(DatabaseError):
    """Another writer has changed a session of this transaction: roll back, then lock and read first."""


def append_locked(
    connection: StoreConnection, request: AppendRequest, known: Version | None = None
) -> Version:
    """Append after everything that other writers have committed, in the caller's transaction.

    `known` is where we left the session. If nobody has written since, the ends of its other transcripts still
    hold.
    """
    version = lock(connection, request.transcript)
    if known is not None and known.next_position == version.next_position:
        version = version._replace(tails={**known.tails, **version.tails})
    encoded: Sequence[Any] = request.encoded
    if request.transcript.subpath in version.tails or len(encoded) > 1:
        encoded = drop_known(connection, request.transcript, encoded)
    for plan in make_plans(
        request.transcript,
        encoded,
        version,
        guarded=False,
        fence=request.fence,
        cipher=connection.cipher,
    ):
        if not run_plan(connection, plan):
            if request.fence is not None:
                raise request.fence.refusal
            raise UnsupportedBindError(
                f"{request.label}: another call came in between on the same Connection or Session: "
                "await one after the other, or give an engine"
            )
        version = plan.then
    return version


def affects_whole_batch(error: SessionStoreError) -> bool:
    """True if the error affects every append of a batch, rather than being the database's refusal of one."""
    return not isinstance(error, DatabaseError) or isinstance(error, UnavailableError | TimedOutError)
