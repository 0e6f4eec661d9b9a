"""Group commit: appends that wait for the database are sent together, in one transaction.

If no batch is running, an append is sent at once and alone, so batching adds no delay. Calls for one session
keep their order. One append's failure fails no other append, and an append that waits for a locked session
delays no other session.
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
from boocode_sessions.errors import DatabaseError, TimedOutError, UnavailableError

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

MAX_BATCHES = 2
"""Maximum batches at the database at a time: this process prepares one while the other runs there."""
MAX_BATCHES_DISTRIBUTED = 8
"""The same for a distributed database. There each batch holds one project's appends, because several
projects would need a two-phase commit across their servers."""
MAX_SESSIONS = 25
"""Maximum sessions in one batch. If more were allowed, fifty sessions would form a single batch, and this
process would prepare nothing while it runs."""
MAX_LOCKING = 4
"""Maximum appends at a time that first lock and read their session. One of these places is reserved for
appends that have not met a locked session yet."""
FIRST_WAIT_SECONDS = 0.02
"""How long an append waits for another's lock on its first try, before it lets other appends go first."""
NEXT_WAIT_SECONDS = 0.25
"""How long it waits on each later try."""


class Run(Protocol):
    """Runs blocking work to its end without blocking the event loop."""

    def __call__(self, work: Callable[[*_Args], _T], *args: *_Args) -> Awaitable[_T]: ...


class Batcher:
    """Appends for one store, from any task of any event loop."""

    def __init__(self, appender: Appender, run: Run, *, one_writer: bool) -> None:
        """`one_writer`: the database allows one writer at a time, so more connections would only wait."""
        self.appender = appender
        self.run = run
        self.max_batches = 1 if one_writer else MAX_BATCHES
        self.max_locking = 1 if one_writer else MAX_LOCKING

    async def append(self, request: AppendRequest) -> None:
        """Append, in one batch with other appends that wait. Raises SessionStoreError."""
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
    """One append and its progress."""

    def __init__(self, request: AppendRequest) -> None:
        self.request = request
        self.since = time.monotonic()
        self.ended = anyio.Event()
        self.outcome: Outcome | None = None
        self.gives_up_at: float | None = None
        """When it gives up on a locked session (monotonic clock); None until it has met one."""

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended.set()


class _Queue:
    """The appends of one store in one event loop, in the order they were called."""

    def __init__(self, batcher: Batcher) -> None:
        self._appender = batcher.appender
        self._run = batcher.run
        self._max_batches_plain = batcher.max_batches
        self._max_locking = batcher.max_locking
        self._waiting: deque[_Waiting] = deque()
        self._to_lock: deque[_Waiting] = deque()
        """Appends that must first lock and read their session."""
        self._locked_out: deque[_Waiting] = deque()
        """Appends that tried this and found their session locked by another transaction."""
        self._busy: set[Session] = set()
        self._batches = 0
        self._locking = 0

    @property
    def _max_batches(self) -> int:
        return MAX_BATCHES_DISTRIBUTED if self._appender.distributed else self._max_batches_plain

    def add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if (watching := observing.observer()) is not None:
            watching.queued(waiting.request)
        if self._batches < self._max_batches and waiting.request.session not in self._busy:
            self._batches += 1
            spawn(self._serve_batches)

    def withdraw(self, waiting: _Waiting) -> bool:
        """Take back an append that has not begun. Return False if it has."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            if (watching := observing.observer()) is not None:
                watching.unqueued(waiting.request)
            return True
        for queue in (self._to_lock, self._locked_out):
            if waiting in queue:
                queue.remove(waiting)
                self._release(waiting)
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
                # Callers that were just served tend to append again at once: let them join the next batch.
                await cancel_shielded_checkpoint()
        self._batches -= 1

    async def _outcomes(self, requests: Sequence[AppendRequest]) -> Sequence[Outcome]:
        try:
            with observing.batch(requests):
                return await self._run(self._appender.run_known, requests)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting callers must be told
            return [self._interrupted(request, error) for request in requests]

    def _interrupted(self, request: AppendRequest, error: BaseException) -> Outcome:
        """Return the outcome if the event loop ended or our code failed: the append may still land."""
        self._appender.in_doubt.abandon(request)
        failure = UnavailableError(f"{request.label}: interrupted, and perhaps written; send it again")
        if isinstance(error, Exception):
            failure.__cause__ = error
        return Outcome(landed=False, error=failure)

    def _start_locking(self) -> None:
        while self._locking < self._max_locking and self._locking < len(self._to_lock) + len(
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
        if self._locked_out and (self._locking < self._max_locking or self._max_locking == 1):
            return self._locked_out.popleft()
        return None

    def _end(self, waiting: _Waiting, outcome: Outcome) -> None:
        waiting.end(outcome)
        if isinstance(outcome.error, DatabaseError) and _is_unreachable(outcome.error):
            self._end_overdue()
        self._release(waiting)

    def _end_overdue(self) -> None:
        """End the appends that have waited as long as a call may take, when the database can't be reached.

        Each of them would wait that long again, and the SDK gives a call up after 60 s.
        """
        latest = time.monotonic() - settings.CALL_SECONDS
        for waiting in [*self._waiting, *self._to_lock, *self._locked_out]:
            if waiting.since <= latest and self.withdraw(waiting):
                failure = TimedOutError(
                    f"{waiting.request.label}: it waited {settings.CALL_SECONDS:g} s while others failed, "
                    "and was not sent; check the database, and send it again"
                )
                waiting.end(Outcome(landed=False, error=failure))

    def _release(self, waiting: _Waiting) -> None:
        """Let the next append of a session go."""
        self._busy.discard(waiting.request.session)
        if self._waiting and self._batches < self._max_batches:
            self._batches += 1
            spawn(self._serve_batches)

    def _next_batch(self) -> list[_Waiting]:
        """Take the next appends: one per session, and none whose session has an append under way."""
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
            if chosen and (rows > PAGE_ROWS or size > PAGE_BYTES or chosen == MAX_SESSIONS):
                return
            sessions.add(session)
            chosen += 1
            if self._appender.distributed:
                project = session.project_key
            yield waiting


def _is_unreachable(error: DatabaseError) -> bool:
    return isinstance(error, UnavailableError) or error.connection_lost


_queues: RunVar[WeakKeyDictionary[Batcher, _Queue]] = RunVar("boocode_sessions.queues")


def _queue_of(batcher: Batcher) -> _Queue:
    """Return the store's queue in this event loop. It is freed with the store."""
    try:
        queues = _queues.get()
    except LookupError:
        queues = WeakKeyDictionary[Batcher, _Queue]()
        _queues.set(queues)
    if (queue := queues.get(batcher)) is None:
        queue = queues[batcher] = _Queue(batcher)
    return queue
