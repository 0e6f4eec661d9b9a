"""The backend: keeps an agent warm for each chat, and resumes the chat on whichever host is asked next."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup
from claude_agent_sdk import ClaudeAgentOptions, PermissionMode
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.keys import check_parts
from boocode_sessions._core.statements.append import Condition
from boocode_sessions.agents.chat import Chat
from boocode_sessions.agents.database import Database
from boocode_sessions.agents.errors import BackendClosedError, NoTurnError
from boocode_sessions.agents.events import AgentEvent
from boocode_sessions.agents.guard import Guard
from boocode_sessions.agents.lease import AgentSessions
from boocode_sessions.agents.permissions import Permissions
from boocode_sessions.agents.pool import Pool
from boocode_sessions.agents.process import AgentProcess
from boocode_sessions.agents.services import ChatKey, Listener, OptionsFor, ProjectKeyFor, Services
from boocode_sessions.agents.settings import Limits
from boocode_sessions.agents.writer import AgentSessionWriter, Holder
from boocode_sessions.sdk import SQLAlchemySessionStore


class ClaudeSdkBackend:
    """Keeps an agent process warm for each chat. A chat without a process resumes from the store.

    Use it as an async context manager, under asyncio, or over an Engine under trio too. Leaving the context
    ends every process.

    Args:
        bind: An Engine or an AsyncEngine. It is used as it is and never disposed of.
        options: The agent's options, or a function that takes (chat id, agent) and returns them. A chat keeps
            the `cwd` that it began with. The backend sets `session_store`, `session_store_flush`,
            `include_partial_messages`, `resume` and `session_id` itself. Without a `can_use_tool`, requests
            for permission become events.
        limits: How much may run, and how long to wait.
        schema: The schema of the tables, if they are not on the connection's search path.
        project_key: The project key to store sessions under, or a function that derives it from the chat's
            id and the SDK's key, such as `lambda chat_id, key: f"{user_of(chat_id)}/{key}"`. The SDK derives
            its own key from the `cwd`, so users whose agents share a folder share one key unless you set
            this. A chat keeps the key that it began with.
        encryption: A `privacy.Encryption`, as for the store.
        tenant: The tenant that owns the chats, as for the store. `stored_chat_id` returns the id that a
            tenant's chat has in `claude_agent_sessions`.
        writer: Keeps leases and costs in a table of the host's, instead of `claude_agent_sessions`.
        on_background: Called with (chat id, agent, event) for what an agent does between turns, after a
            background task has ended. Its exceptions are logged.
        start_afresh: If the store does not know a chat's session, or the agent can't resume it, continue the
            chat in a new session. By default such a chat's prompts are refused.

    Raises:
        TypeError: An argument has the wrong type.
        InvalidKeyError: `project_key` or `tenant` can't be part of a key.
        UnsupportedBindError: The database is neither PostgreSQL nor SQLite.
    """

    @checked
    def __init__(
        self,
        bind: Engine | AsyncEngine,
        options: ClaudeAgentOptions | OptionsFor | None = None,
        *,
        limits: Limits | None = None,
        schema: str | None = None,
        project_key: str | ProjectKeyFor | None = None,
        encryption: Cipher | None = None,
        tenant: str | None = None,
        writer: AgentSessionWriter | None = None,
        on_background: Listener | None = None,
        start_afresh: bool = False,
    ) -> None:
        limits = limits or Limits()
        same_for_all = options if isinstance(options, ClaudeAgentOptions) else ClaudeAgentOptions()
        writer = writer or AgentSessions()
        database = Database(bind, schema, limits.database_seconds, encryption=encryption, tenant=tenant)
        self._services = Services(
            options_for=options if callable(options) else lambda _chat_id, _agent: same_for_all,
            limits=limits,
            database=database,
            schema=schema,
            store=SQLAlchemySessionStore(bind, schema=schema, encryption=encryption, tenant=database.tenant),
            project_key_for=_project_key_for(project_key),
            writer=writer,
            fence=Condition(writer.fence),
            holder=Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid()),
            pool=Pool(limits.max_warm, limits.pool_seconds),
            permissions=Permissions(limits.permission_seconds),
            guard=Guard(),
            on_background=on_background or (lambda _chat_id, _agent, _event: None),
            start_afresh=start_afresh,
        )
        self._chats: dict[ChatKey, Chat] = {}
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        for chat in list(self._chats.values()):
            chat.close()
        if error is not None:
            tasks.cancel_scope.cancel()
        try:
            await tasks.__aexit__(None, None, None)
        finally:
            self._services.guard.close()

    @property
    def warm(self) -> int:
        """The number of agent processes."""
        return len(self._services.pool)

    def stored_chat_id(self, chat_id: str) -> str:
        """Return the `chat_id` of the chat's row in `claude_agent_sessions`, which includes the tenant."""
        return self._services.chat_key(chat_id)

    @checked
    async def send(self, chat_id: str, prompt: str, *, agent: str = "claude") -> AsyncGenerator[AgentEvent]:
        """Run one turn and yield its events as they come. TurnEnded is the last one.

        Prompts of one chat are answered in order. A caller that stops iterating interrupts the turn. A slow
        caller does not: the backend keeps events until the caller asks for them.

        Args:
            chat_id: The host's id of the chat.
            prompt: The user's message.
            agent: Which of the chat's agents.

        Raises:
            AgentError: The turn can't begin.
            SessionStoreError: The turn can't begin because of the database.
        """
        chat = self._chat(chat_id, agent)
        turn = chat.enqueue(prompt)
        try:
            async for event in turn.events:
                yield event
        finally:
            turn.events.close()
            if not turn.ended.is_set():
                chat.stop(turn)
        if turn.error is not None:
            raise turn.error

    def _chat(self, chat_id: str, agent: str) -> Chat:
        """Return the chat, created if need be. Nothing awaits here, so concurrent prompts share one chat."""
        if self._tasks is None:
            raise BackendClosedError("the backend is not open: use it as `async with ClaudeSdkBackend(...)`")
        key = (chat_id, agent)
        chat = self._chats.get(key)
        if chat is None:
            chat = self._chats[key] = Chat(self._services, chat_id, agent, self._tasks)
            self._tasks.start_soon(chat.run, lambda: self._chats.pop(key, None))
        return chat

    async def interrupt(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the turn that is running or next in the queue, and wait for its end. Raises NoTurnError."""
        chat = self._chats.get((chat_id, agent))
        turn = None if chat is None else chat.turn
        if chat is None or turn is None:
            raise NoTurnError(f"agent {agent!r} of chat {chat_id!r} has no turn under way")
        chat.stop(turn)
        await turn.ended.wait()

    async def close(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the chat's agent: interrupt its turn and refuse queued prompts. The chat can continue later."""
        chat = self._chats.get((chat_id, agent))
        if chat is not None:
            chat.close()
            await chat.ended.wait()

    def answer(
        self, request_id: str, *, allow: bool, message: str = "", updated_input: dict[str, Any] | None = None
    ) -> None:
        """Answer a PermissionRequested, once.

        Args:
            request_id: The event's `request_id`.
            allow: Let the tool run.
            message: The reason of a denial, for the agent.
            updated_input: Input that the tool runs with instead of its own.

        Raises:
            PermissionAnsweredError: The request was already answered, timed out or was withdrawn.
            UnknownPermissionError: No agent of this backend asked with this id.
        """
        self._services.permissions.answer(
            request_id, allow=allow, message=message, updated_input=updated_input
        )

    async def set_model(self, chat_id: str, model: str | None, *, agent: str = "claude") -> None:
        """Switch the chat's agent to another model, for as long as this backend lives.

        Args:
            chat_id: The host's id of the chat.
            model: The model's name, or None for the agent's default.
            agent: Which of the chat's agents.

        Raises:
            AgentError: The running agent refuses the model.
        """
        if (process := self._process(chat_id, agent)) is not None:
            await process.set_model(model)
        self._override(chat_id, agent, model=model)

    async def set_permission_mode(self, chat_id: str, mode: PermissionMode, *, agent: str = "claude") -> None:
        """Switch the chat's agent to another permission mode, for as long as this backend lives.

        Args:
            chat_id: The host's id of the chat.
            mode: When the agent asks for permission.
            agent: Which of the chat's agents.

        Raises:
            AgentError: The running agent refuses the mode.
        """
        if (process := self._process(chat_id, agent)) is not None:
            await process.set_permission_mode(mode)
        self._override(chat_id, agent, permission_mode=mode)

    def _override(self, chat_id: str, agent: str, **options: Any) -> None:  # noqa: ANN401 - fields of ClaudeAgentOptions
        self._services.overrides.setdefault((chat_id, agent), {}).update(options)

    def _process(self, chat_id: str, agent: str) -> AgentProcess | None:
        chat = self._chats.get((chat_id, agent))
        return None if chat is None else chat.process


def _project_key_for(given: str | ProjectKeyFor | None) -> ProjectKeyFor:
    if given is None:
        return lambda _chat_id, key: key
    if callable(given):
        return given
    check_parts(project_key=given)
    return lambda _chat_id, _key: given
