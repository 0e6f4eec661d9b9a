"""Natural batching: appends that wait while one is at the database go there together, in one statement.

An append that finds nobody there goes at once and alone, so that batching adds no delay. Those that a
batch has served tend to come back together, so the first of them lets the others catch up for one turn of the
event loop; else it would go alone, and each turn of the database's would serve one. One process with 50
sessions gains several times the entries per second: see benchmarks/. Calls for one session keep their order,
and a batch that fails fails nobody else's.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar, TypeVarTuple

import anyio
from anyio.lowlevel import RunVar, cancel_shielded_checkpoint

from boocode_sessions._core.append.appender import Append, Appender
from boocode_sessions._core.keys import Session
from boocode_sessions._core.operations import PAGE_CHARS, PAGE_ROWS
from boocode_sessions.errors import UnavailableError

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_MOST_AT_ONCE = 2
"""Statements at the database at a time: one is prepared here while another runs there."""
_MOST_SESSIONS = 25
"""Of one statement. With more, fifty sessions would all be in one, and nothing would be prepared while it
runs: they get a third less done."""


class Run(Protocol):
    """Runs blocking work to its end without blocking the event loop, whatever is cancelled meanwhile."""

    def __call__(self, work: Callable[[*_Args], _T], *args: *_Args) -> Awaitable[_T]: ...


class Combiner:
    """Appends for one store, from any task of any event loop."""

    def __init__(self, appender: Appender, run: Run) -> None:
        self._appender = appender
        self._run = run
        self._lines: RunVar[_Line] = RunVar(f"boocode_sessions.line.{id(self)}")

    async def append(self, append: Append) -> None:
        """Append, together with whoever else waits. Raises SessionStoreError."""
        line = self._line()
        me = _Waiting(append)
        line.waiting.append(me)
        try:
            while not me.served:
                if line.expects_more:
                    await line.let_others_catch_up()
                if batch := line.next_batch():
                    line.wake_next()
                    await self._serve(line, batch)
                elif not me.served:
                    me.woken = anyio.Event()
                    await me.woken.wait()
            if me.alone:
                await self._run(self._appender.run_alone, append)
        except Exception:
            raise
        except BaseException:
            if me not in line.waiting:
                self._abandon(append)
            raise
        finally:
            line.leave(me)
        if append.error is not None:
            raise append.error

    async def _serve(self, line: "_Line", batch: "list[_Waiting]") -> None:
        line.at_once += 1
        left: list[Append] = []
        finished = False
        try:
            with anyio.CancelScope(shield=True):  # a task that is cancelled already may lead others
                left = await self._run(self._appender.run_together, [waiting.append for waiting in batch])
            finished = True
        finally:
            line.at_once -= 1
            line.in_company = len(batch) > 1
            for waiting in batch:
                if not finished:
                    self._abandon(waiting.append)
                waiting.served = True
                waiting.alone = waiting.append in left and not waiting.gone
                if not waiting.alone:
                    line.busy.discard(waiting.append.session)
                waiting.wake()
            line.wake_next()

    def _abandon(self, append: Append) -> None:
        """A task was cancelled while its call, or those that it served, were under way: they may land yet."""
        self._appender.abandon(append)
        append.error = UnavailableError(f"{append.doing}: interrupted, and perhaps written; send it again")

    def _line(self) -> "_Line":
        try:
            return self._lines.get()
        except LookupError:
            line = _Line()
            self._lines.set(line)
            return line


class _Waiting:
    def __init__(self, append: Append) -> None:
        self.append = append
        self.woken: anyio.Event | None = None
        """While its task sleeps."""
        self.served = False
        self.alone = False
        """Left over by its batch: to be run in a transaction of its own, which keeps its session busy."""
        self.gone = False
        """Its task was cancelled, and will not run what is left over."""

    def wake(self) -> None:
        if self.woken is not None:
            self.woken.set()


class _Line:
    """Who waits in one event loop, in the order of their calls."""

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.busy: set[Session] = set()
        self.at_once = 0
        self.in_company = False
        """Whether the last batch was of several."""
        self._catching_up = False

    @property
    def expects_more(self) -> bool:
        """Whether whoever could go now had better look who else comes."""
        return self.in_company and not self._catching_up and self.at_once < _MOST_AT_ONCE

    async def let_others_catch_up(self) -> None:
        """One turn of the event loop, in which nobody else leads a batch."""
        self._catching_up = True
        try:
            await cancel_shielded_checkpoint()
        finally:
            self._catching_up = False

    def next_batch(self) -> list[_Waiting]:
        """Take the next ones, each session's first only, while its earlier call is not under way."""
        if self._catching_up or self.at_once >= _MOST_AT_ONCE:
            return []
        batch = list(self._eligible())
        for waiting in batch:
            self.busy.add(waiting.append.session)
        if len(batch) == len(self.waiting):
            self.waiting.clear()
        else:
            taken = set(map(id, batch))
            self.waiting = deque(waiting for waiting in self.waiting if id(waiting) not in taken)
        return batch

    def leave(self, me: _Waiting) -> None:
        me.gone = True
        if me.alone:
            self.busy.discard(me.append.session)
        elif not me.served and me in self.waiting:
            self.waiting.remove(me)
        self.wake_next()

    def wake_next(self) -> None:
        if self.waiting and self.at_once < _MOST_AT_ONCE:
            for waiting in self.waiting:
                if waiting.append.session not in self.busy:
                    waiting.wake()
                    return

    def _eligible(self) -> Iterator[_Waiting]:
        rows = chars = 0
        sessions: set[Session] = set()
        for waiting in self.waiting:
            append = waiting.append
            session = append.session
            rows += len(append.entries)
            chars += append.size
            if sessions and (rows > PAGE_ROWS or chars > PAGE_CHARS or len(sessions) == _MOST_SESSIONS):
                return
            if session not in self.busy and session not in sessions:
                yield waiting
            sessions.add(session)
