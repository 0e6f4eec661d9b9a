"""Group commit: appends that wait while others are at the database go there together, in one transaction.

An append that finds nobody there goes at once and alone, so that batching adds no delay. Calls for one
session keep their order. A batch that fails fails nobody else's, and an append that waits for a locked
session delays no other session's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar, cancel_shielded_checkpoint

from boocode_sessions import engine as settings
from boocode_sessions._core import observing
from boocode_sessions._core.append.appender import Appender, Outcome
from boocode_sessions._core.append.plan import PAGE_BYTES, PAGE_ROWS
from boocode_sessions._core.append.request import AppendRequest
from boocode_sessions._core.background import spawn
from boocode_sessions._core.keys import Session
from boocode_sessions.errors import TimedOutError, UnavailableError

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

MOST_BATCHES = 2
"""At the database at a time: one is prepared here while another runs there."""
MOST_BATCHES_DISTRIBUTED = 8
"""There each batch is one project's: several projects' would be a two-phase commit over their servers."""
MOST_SESSIONS = 25
"""Of one batch. With more, fifty sessions would be in one, and nothing would be prepared while it runs."""
MOST_LOCKING = 4
"""Appends at a time that lock and read their session first, of which one place is kept for those that have
not met a locked session yet."""
FIRST_WAIT_SECONDS = 0.02
"""How long an append waits for another's lock before it steps aside for the others."""
NEXT_WAIT_SECONDS = 0.25
"""And how long each time after that."""


class Run(Protocol):
    """Runs blocking work to its end without blocking the event loop."""

    def __call__(self, work: Callable[[*_Args], _T], *args: *_Args) -> Awaitable[_T]: ...


class Batcher:
    """Appends for one store, from any task of any event loop."""

    def __init__(self, appender: Appender, run: Run, *, one_writer: bool) -> None:
        """`one_writer`: the database has one at a time, so that more connections would only wait."""
        self.appender = appender
        self.run = run
        self.most_batches = 1 if one_writer else MOST_BATCHES
        self.most_locking = 1 if one_writer else MOST_LOCKING

    async def append(self, request: AppendRequest) -> None:
        """Append, together with whoever else waits. Raises SessionStoreError."""
        queue = _queue_of(self)
        waiting = _Waiting(request)
        queue.add(waiting)
        try:
            await waiting.ended.wait()
        except BaseException:
            if not queue.withdraw(waiting):
                self.appender.in_doubt.abandon(request)
            raise
        assert waiting.outcome is not None  # noqa: S101 - set before `ended`
        if waiting.outcome.error is not None:
            raise waiting.outcome.error


class _Waiting:
    """One append, and where it stands."""

    def __init__(self, request: AppendRequest) -> None:
        self.request = request
        self.ended = anyio.Event()
        self.outcome: Outcome | None = None
        self.gives_up_at: float | None = None
        """When it stops waiting for a locked session; None while it has not met one."""

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended.set()


class _Queue:
    """The appends of one store in one event loop, in the order of their calls."""

    def __init__(self, batcher: Batcher) -> None:
        self._appender = batcher.appender
        self._run = batcher.run
        self._most = batcher.most_batches
        self._most_locking = batcher.most_locking
        self._waiting: deque[_Waiting] = deque()
        self._to_lock: deque[_Waiting] = deque()
        """That have to lock and read their session."""
        self._locked_out: deque[_Waiting] = deque()
        """And whose session was locked by another transaction when they tried."""
        self._busy: set[Session] = set()
        self._batches = 0
        self._locking = 0

    @property
    def _most_batches(self) -> int:
        return MOST_BATCHES_DISTRIBUTED if self._appender.distributed else self._most

    def add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if (watching := observing.observer()) is not None:
            watching.queued(waiting.request)
        if self._batches < self._most_batches and waiting.request.session not in self._busy:
            self._batches += 1
            spawn(self._serve_batches)

    def withdraw(self, waiting: _Waiting) -> bool:
        """Take back an append that was not begun. Returns whether it was not."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            if (watching := observing.observer()) is not None:
                watching.unqueued(waiting.request)
            return True
        return False

    async def _serve_batches(self) -> None:
        while batch := self._next_batch():
            requests = [waiting.request for waiting in batch]
            for waiting, outcome in zip(batch, await self._outcomes(requests), strict=True):
                if outcome.landed or outcome.error is not None:
                    self._end(waiting, outcome)
                else:
                    self._to_lock.append(waiting)
            self._start_locking()
            if len(batch) > 1:
                # Those that were served tend to come back together: the next batch lets them join.
                await cancel_shielded_checkpoint()
        self._batches -= 1

    async def _outcomes(self, requests: Sequence[AppendRequest]) -> Sequence[Outcome]:
        try:
            with observing.batch(requests):
                return await self._run(self._appender.run_known, requests)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is
            return [self._interrupted(request, error) for request in requests]

    def _interrupted(self, request: AppendRequest, error: BaseException) -> Outcome:
        """The event loop ends, or there is a mistake of ours: the append may land yet."""
        self._appender.in_doubt.abandon(request)
        failure = UnavailableError(f"{request.label}: interrupted, and perhaps written; send it again")
        if isinstance(error, Exception):
            failure.__cause__ = error
        return Outcome(landed=False, error=failure)

    def _start_locking(self) -> None:
        while self._locking < self._most_locking and self._locking < len(self._to_lock) + len(
            self._locked_out
        ):
            self._locking += 1
            spawn(self._serve_locking)

    async def _serve_locking(self) -> None:
        while waiting := self._next_to_lock():
            seconds = FIRST_WAIT_SECONDS if waiting.gives_up_at is None else NEXT_WAIT_SECONDS
            request = waiting.request
            try:
                outcome = await self._run(self._appender.run_locked, request, seconds)
            except BaseException as error:  # noqa: BLE001 - as above
                outcome = self._interrupted(request, error)
            if self._was_locked(outcome):
                now = time.monotonic()
                waiting.gives_up_at = waiting.gives_up_at or now + settings.LOCK_SECONDS
                if now < waiting.gives_up_at and not waiting.ended.is_set():
                    self._locked_out.append(waiting)
                    continue
            self._end(waiting, outcome)
        self._locking -= 1

    @staticmethod
    def _was_locked(outcome: Outcome) -> bool:
        return isinstance(outcome.error, TimedOutError) and outcome.error.sqlstate == "55P03"

    def _next_to_lock(self) -> _Waiting | None:
        if self._to_lock:
            return self._to_lock.popleft()
        if self._locked_out and (self._locking < self._most_locking or self._most_locking == 1):
            return self._locked_out.popleft()
        return None

    def _end(self, waiting: _Waiting, outcome: Outcome) -> None:
        self._busy.discard(waiting.request.session)
        waiting.end(outcome)
        if self._waiting and self._batches < self._most_batches:
            self._batches += 1
            spawn(self._serve_batches)

    def _next_batch(self) -> list[_Waiting]:
        """Take the next ones, each session's first only, while its earlier call is not under way."""
        batch = list(self._eligible())
        for waiting in batch:
            self._busy.add(waiting.request.session)
        if len(batch) == len(self._waiting):
            self._waiting.clear()
        else:
            taken = set(map(id, batch))
            self._waiting = deque(waiting for waiting in self._waiting if id(waiting) not in taken)
        return batch

    def _eligible(self) -> Iterator[_Waiting]:
        rows = size = 0
        sessions: set[Session] = set()
        chosen = 0
        project: str | None = None
        for waiting in self._waiting:
            request = waiting.request
            session = request.session
            of_another = project not in {None, session.project_key}
            if of_another or session in self._busy or session in sessions:
                sessions.add(session)
                continue
            rows += len(request.encoded)
            size += request.size
            if chosen and (rows > PAGE_ROWS or size > PAGE_BYTES or chosen == MOST_SESSIONS):
                return
            sessions.add(session)
            chosen += 1
            if self._appender.distributed:
                project = session.project_key
            yield waiting


_queues: RunVar[WeakKeyDictionary[Batcher, _Queue]] = RunVar("boocode_sessions.queues")


def _queue_of(batcher: Batcher) -> _Queue:
    """The store's queue in this event loop. It goes with the store."""
    try:
        queues = _queues.get()
    except LookupError:
        queues = WeakKeyDictionary[Batcher, _Queue]()
        _queues.set(queues)
    if (queue := queues.get(batcher)) is None:
        queue = queues[batcher] = _Queue(batcher)
    return queue
