"""One agent of one chat: runs its prompts one after the other, and ends its process when it is not needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from boocode_sessions.agents.accounts import Accounts
from boocode_sessions.agents.errors import (
    BackendClosedError,
    ChatHeldError,
    QueueFullError,
    SessionUnknownError,
)
from boocode_sessions.agents.events import MirrorRepaired, TurnEnded
from boocode_sessions.agents.process import AgentProcess
from boocode_sessions.agents.reading import Reader
from boocode_sessions.agents.repairing import Repair
from boocode_sessions.agents.services import Services
from boocode_sessions.agents.starting import Starter
from boocode_sessions.agents.turn import Turn

_CLOSE_SECONDS = 3
"""How long a turn may take to end before its process is ended."""


class Chat:
    """The queue of a chat's agent, and the task that works through it."""

    def __init__(self, services: Services, chat_id: str, agent: str, tasks: TaskGroup) -> None:
        self.chat_id, self.agent = chat_id, agent
        self.ended = anyio.Event()
        self._services = services
        self._limits = services.limits
        self._tasks = tasks
        self._queue: deque[Turn] = deque()
        self.process: AgentProcess | None = None
        """The warm process, if there is one."""
        self._accounts = Accounts(services)
        self._reader = Reader(services, self._accounts, chat_id, agent, self._wake)
        self._closing = False
        self._evicted = False
        self._woken = anyio.Event()
        self._repair = Repair(self._limits.repair_seconds)
        self._starter = Starter(services, self._accounts, self._reader.ask, chat_id, agent)

    # The backend calls these methods. None of them waits.

    def enqueue(self, prompt: str) -> Turn:
        """Queue a prompt. Raises QueueFullError."""
        if len(self._queue) >= self._limits.max_queued:
            raise QueueFullError(
                f"{len(self._queue)} prompts wait for agent {self.agent!r} of chat {self.chat_id!r}: "
                "send this one when a turn has ended"
            )
        turn = Turn(prompt)
        self._queue.append(turn)
        self._wake()
        return turn

    def stop(self, turn: Turn) -> None:
        """End a turn early, or take it out of the queue."""
        turn.stop_requested = True
        if turn in self._queue:
            self._queue.remove(turn)
            turn.emit(TurnEnded("interrupted"))
            turn.close()
        self._wake()

    @property
    def turn(self) -> Turn | None:
        """The running turn, or else the next one in the queue."""
        return self._reader.turn or next(iter(self._queue), None)

    def close(self) -> None:
        """End the turn and the process."""
        self._closing = True
        self._wake()

    @property
    def last_active_at(self) -> float:
        """When the agent was last busy."""
        return self._reader.last_active_at

    def can_be_evicted(self) -> bool:
        """True if nothing runs, nothing waits, and nothing has to be written."""
        return not (self._evicted or self._is_busy() or self._is_behind() or self._accounts.has_unwritten)

    def is_ending(self) -> bool:
        """True if the chat was asked to end its process and has nothing left to do."""
        return self._evicted and not (self._is_busy() or self._is_behind())

    def evict(self) -> None:
        """End the process."""
        self._evicted = True
        self._wake()

    # The task.

    async def run(self, forget: Callable[[], object]) -> None:
        """Work through the queue, until the process has ended and nothing waits."""
        try:
            while True:
                if self._queue and not self._closing:
                    await self._run_turn(self._queue.popleft())
                elif self._should_end():
                    await self._end_process()
                    if self._closing:
                        self._refuse_all()
                    if not self._queue:
                        return  # `forget` runs without awaiting first, so nobody can queue anything before it
                else:
                    await self._idle()
        finally:
            forget()
            self._closing = True
            self._refuse_all()
            with anyio.CancelScope(shield=True):
                await self._end_process()
            self.ended.set()

    def _refuse_all(self) -> None:
        for turn in (*([self._reader.turn] if self._reader.turn else []), *self._queue):
            turn.refuse(BackendClosedError(f"agent {self.agent!r} of chat {self.chat_id!r} was closed"))
        self._queue.clear()

    def _should_end(self) -> bool:
        process = self.process
        if process is None or self._closing or process.store.is_fenced:
            return True
        if self._is_behind():
            return False
        if process.has_ended:
            return True
        if process.store.reads_from_file or self._evicted:
            return not process.is_at_work
        idle_for = anyio.current_time() - self.last_active_at
        return not self._is_busy() and idle_for >= self._limits.idle_seconds

    def _is_busy(self) -> bool:
        at_work = self.process is not None and self.process.is_at_work
        return bool(self._reader.turn or self._queue or self._reader.permissions or at_work)

    def _is_behind(self) -> bool:
        return self.process is not None and self.process.store.is_behind

    async def _idle(self) -> None:
        """Wait for the next prompt. Write what is left to write, and renew or release the lease meanwhile."""
        seconds = min(self._limits.lease_seconds / 3, self._limits.idle_seconds)
        if self._is_behind():
            seconds = min(seconds, self._limits.repair_seconds)
        await self._sleep(seconds)
        if self._queue:  # the next turn acquires the lease and writes the rest
            return
        await self._catch_up_if_due()
        if self._accounts.has_unwritten or (self._accounts.holds and not self._is_busy()):
            await self._accounts.settle(release=not self._is_busy(), incomplete=self._is_behind())
        elif self._is_busy():  # with a background task, for example
            await self._keep_lease(at_once=not self._accounts.holds)
        # Even if nothing was written: an agent may report that it is idle only after its turn.
        self._services.pool.notify()

    async def _run_turn(self, turn: Turn) -> None:
        self._reader.turn = turn
        try:
            process = await self._prepare()
        except Exception as error:  # noqa: BLE001 - the sender gets it, even what the host's options raise
            self._reader.turn = None
            await self._accounts.settle(release=not self._queue, incomplete=self._is_behind())
            turn.refuse(error)
        else:
            if turn.stop_requested or self._closing:
                await self._accounts.settle(release=not self._queue, incomplete=self._is_behind())
                ended = TurnEnded("interrupted")
            else:
                ended = await self._perform(turn, process)
            self._reader.turn = None
            turn.emit(ended)
            turn.close()
        finally:
            self._reader.last_active_at = anyio.current_time()
            self._services.pool.notify()

    async def _prepare(self) -> AgentProcess:
        """Take the chat's lease and return its warm process. Raises AgentError or SessionStoreError."""
        accounts, process = self._accounts, self.process
        if process is not None:
            store = process.store
            lease = await accounts.acquire(self.chat_id, self.agent, store.lease.project_key)
            if not (process.has_ended or store.is_fenced or store.lease.token != lease.token):
                accounts.lease = store.lease
                return process
            await self._end_process()
        options = self._starter.options()
        project_key = self._starter.project_key(options)
        lease = await accounts.acquire(self.chat_id, self.agent, project_key)
        if lease.project_key != project_key:
            raise SessionUnknownError(
                f"{lease} goes on in session {lease.session_id} of project {lease.project_key}, but its cwd "
                f"and `project_key` say {project_key}: give each chat those that it began with"
            )
        self._evicted = False
        await self._services.pool.enter(self)
        try:
            self.process = await self._starter.start(lease, options)
        except BaseException:
            self._services.pool.leave(self)
            raise
        self._tasks.start_soon(self._reader.read, self.process)
        await self._starter.apply_overrides(self.process, options)
        await self._keep_lease()
        if self.process.store.is_fenced:  # lost while it waited for a place in the pool, or started
            raise ChatHeldError(f"another process has taken {lease} over: send the prompt there")
        return self.process

    async def _perform(self, turn: Turn, process: AgentProcess) -> TurnEnded:
        """Send the prompt and follow the turn to its end."""
        now = anyio.current_time()
        deadline, drained_at, timed_out = now + self._limits.turn_seconds, None, False
        # Not awaited: sending a prompt longer than the pipe's buffer waits for the agent, which may hang.
        self._tasks.start_soon(process.prompt, turn.prompt, turn.id)
        while not (turn.result or process.has_ended or process.store.is_fenced):
            now = anyio.current_time()
            if drained_at is None and (turn.stop_requested or self._closing or now >= deadline):
                timed_out = now >= deadline
                drained_at = now + (_CLOSE_SECONDS if self._closing else self._limits.drain_seconds)
                await process.interrupt(drained_at - now)
                continue
            if drained_at is not None and now >= drained_at:
                break
            await self._sleep(min((drained_at or deadline) - now, self._limits.lease_seconds / 3))
            await self._keep_lease()
            await self._catch_up_if_due()
        if turn.result is None:
            process.has_ended = True  # the next turn ends it first, so that a late result can't end that turn
        return await self._conclude(turn, process, timed_out=timed_out, stopped=drained_at is not None)

    async def _conclude(
        self, turn: Turn, process: AgentProcess, *, timed_out: bool, stopped: bool
    ) -> TurnEnded:
        accounts, is_answered = self._accounts, turn.result is not None
        reason, failed = turn.outcome(is_fenced=process.store.is_fenced, timed_out=timed_out, stopped=stopped)
        if failed is not None:
            turn.emit(failed)
        if not is_answered:  # its last lines, and what they cost, may not have arrived here
            process.store.is_behind = True
            accounts.spend(process.count_unconfirmed())
            self._services.permissions.withdraw(self._reader.emit)
        await self._catch_up_if_due(at_once=True)
        is_stored = not (process.store.is_fenced or process.store.is_behind)
        error = (turn.failure or reason) if reason in {"failed", "timed_out"} else None
        accounts.end_turn(error, is_answered=is_answered)
        spent = accounts.spent()
        is_settled = await accounts.settle(
            release=not (self._queue or process.tasks), incomplete=process.store.is_behind
        )
        return TurnEnded(reason, spent.usage, spent.cost_usd, is_stored and is_settled)

    async def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        try:
            if not process.store.is_fenced:
                if self._reader.turn is not None and not process.has_ended:
                    await process.interrupt(_CLOSE_SECONDS)
                await self._repair.save(process)
            await process.stop()
        finally:
            self._services.pool.leave(self)
            self._accounts.spend(process.count_unconfirmed())
            await self._accounts.settle(
                release=self._closing or not self._reader.turn, incomplete=process.store.is_behind
            )

    async def _catch_up_if_due(self, *, at_once: bool = False) -> None:
        if self.process is None:
            return
        lines = await self._repair.catch_up(self.process.store, at_once=at_once)
        if lines is not None:
            self._reader.emit(MirrorRepaired(lines))
            if self._reader.turn is None:
                self._accounts.state_is_stale = True

    async def _keep_lease(self, *, at_once: bool = False) -> None:
        if await self._accounts.renew(at_once=at_once) is False and self.process is not None:
            self.process.store.is_fenced = True

    async def _sleep(self, seconds: float) -> None:
        with anyio.move_on_after(max(seconds, 0)):
            await self._woken.wait()
        self._woken = anyio.Event()

    def _wake(self) -> None:
        self._woken.set()
