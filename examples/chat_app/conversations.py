"""The chats that are open in a tab or have a running turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from sqlalchemy import Engine

from boocode_sessions import SessionStoreError
from boocode_sessions.agents import AgentBackend, AgentError, AgentEvent
from examples.chat_app import chats
from examples.chat_app.log import Event, Log


class Conversations:
    """Keeps one log per chat, so that all tabs of a chat see the same events."""

    def __init__(self, engine: Engine, backend: AgentBackend, tasks: TaskGroup) -> None:
        self._engine = engine
        self._backend = backend
        self._tasks = tasks
        self._logs: dict[str, Log] = {}
        self._lock = anyio.Lock()

    @asynccontextmanager
    async def open(self, chat_id: str) -> AsyncIterator[Log]:
        """Yield the chat's log. Its last user drops it, since the database then has everything."""
        async with self._lock:  # else two tabs that open at once would read the history twice
            if (log := self._logs.get(chat_id)) is None:
                log = Log(await anyio.to_thread.run_sync(chats.history, self._engine, chat_id))
                self._logs[chat_id] = log
            log.users += 1
        try:
            yield log
        finally:
            log.users -= 1
            if not log.users:
                del self._logs[chat_id]

    async def say(self, chat_id: str, prompt: str) -> None:
        """Send a prompt. The turn runs even if all tabs close. Returns once every tab has the prompt."""
        await self._tasks.start(self._answer, chat_id, prompt)

    def hear(self, chat_id: str, event: AgentEvent) -> None:
        """Show open tabs an event from between turns, which may be a permission request."""
        if (log := self._logs.get(chat_id)) is not None:
            log.add(log.turns, _told(event))

    async def _answer(
        self,
        chat_id: str,
        prompt: str,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        async with self.open(chat_id) as log:
            turn = log.begin_turn(prompt)
            task_status.started()
            try:
                async for event in self._backend.send(chat_id, prompt):
                    log.add(turn, _told(event))
            except (AgentError, SessionStoreError) as error:  # their messages hold no transcript content
                log.add(turn, {"kind": "Refused", "message": str(error)})


def _told(event: AgentEvent) -> Event:
    return {"kind": type(event).__name__, **asdict(event)}
