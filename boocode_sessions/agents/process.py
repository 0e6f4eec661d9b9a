"""One agent process, driven through the SDK's client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from claude_agent_sdk import (
    TERMINAL_TASK_STATUSES,
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    CLIConnectionError,
    CLINotFoundError,
    ConversationResetMessage,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    TaskUpdatedMessage,
    ToolPermissionContext,
)

from boocode_sessions._core.background import in_thread
from boocode_sessions.agents.errors import AgentError, AgentMissingError, AgentStartError, SessionDamagedError
from boocode_sessions.agents.events import Usage
from boocode_sessions.agents.guard import Guard, kill_marked
from boocode_sessions.agents.mapping import cost_of, usage_of_models
from boocode_sessions.agents.permissions import PermissionResult
from boocode_sessions.agents.store import FencedStore, Totals
from boocode_sessions.agents.values import get_count
from boocode_sessions.errors import DamagedEntryError, SessionStoreError

CanUseTool = Callable[[str, dict[str, Any], ToolPermissionContext], Awaitable[PermissionResult]]

_REPORT_STATE = "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"
"""Makes the agent report when it is idle: after a background task ends, a turn of its own still follows."""

_MARK = "BOOCODE_SESSIONS_AGENT"
"""Environment variable that marks an agent's processes, so that the tools of a killed agent can be found."""

_MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""The longest message that an agent may send. The SDK's own limit is 1 MB, and transcript lines are messages
too: a prompt of 600 KB, or a large screenshot that the agent reads, would end the agent."""

STOP_SECONDS = 30
"""Longer than the SDK needs to end a stubborn process: it asks, terminates and kills within 20 s."""


class AgentProcess:
    """An agent process, what it has spent, and what it runs in the background."""

    def __init__(
        self, options: ClaudeAgentOptions, store: FencedStore, can_use_tool: CanUseTool, guard: Guard
    ) -> None:
        self.store = store
        self._guard = guard
        self._pid: int | None = None
        self._mark = uuid4().hex
        self.options = replace(
            options,
            env={_REPORT_STATE: "1", **options.env, _MARK: self._mark},
            session_store=store,
            session_store_flush="eager",  # else the turn's lines are lost with a process that is killed
            include_partial_messages=True,
            max_buffer_size=options.max_buffer_size or _MAX_MESSAGE_BYTES,
        )
        if _asks_the_host(options):
            self.options.can_use_tool = can_use_tool
        self._client = ClaudeSDKClient(self.options)
        self.tasks: set[str] = set()
        """Ids of the subagents and commands that run in the background."""
        self.has_ended = False
        self._state = "idle"
        self._totals = Totals()
        """The process's own totals, as of the latest result."""
        self._unconfirmed: dict[str, Usage] = {}
        """Tokens streamed since the latest result, by message id. The next result will count them."""

    @property
    def is_at_work(self) -> bool:
        """True if the agent would continue without another prompt."""
        return not self.has_ended and (bool(self.tasks) or self._state != "idle")

    async def start(self, seconds: float) -> None:
        """Start the process, resumed from the store if the options say so.

        Raises AgentStartError, or the SessionStoreError that kept it from resuming.
        """
        failure: Exception
        try:
            with anyio.fail_after(seconds):
                await self._client.connect()
        except TimeoutError:
            raise AgentStartError(
                f"the agent did not start within {seconds:g} s: raise start_seconds, or look at MCP servers"
            ) from None
        except Exception as error:  # noqa: BLE001 - the SDK raises plain ones too
            failure = _start_error(error, self.options)
        else:
            self._totals = self.store.restored
            self._watch()
            return
        raise failure from None

    def _watch(self) -> None:
        """Have the guard end the process with its host. Only the SDK knows the pid and a resume's folder."""
        materialized = getattr(self._client, "_materialized", None)
        made = None if materialized is None else Path(materialized.config_dir)
        self.store.projects = own_projects(self.options) if made is None else made / "projects"
        transport = getattr(self._client, "_transport", None)
        self._pid = getattr(getattr(transport, "_process", None), "pid", None)

        def watch(is_behind: bool) -> None:
            if self._pid is not None:  # after the process has ended, its pid may belong to another one
                # If the database lacks lines, only that folder has them, and it must stay.
                self._guard.watch(self._pid, "" if made is None or is_behind else str(made))

        self.store.on_behind = watch
        watch(self.store.is_behind)

    async def prompt(self, text: str, message_id: str) -> None:
        """Send a prompt. The result that answers it names `message_id`."""

        async def message() -> AsyncIterator[dict[str, Any]]:
            yield {
                "type": "user",
                "uuid": message_id,
                "message": {"role": "user", "content": text},
                "parent_tool_use_id": None,
            }

        with suppress(CLIConnectionError):
            await self._client.query(message())
            return
        self.has_ended = True

    async def interrupt(self, seconds: float) -> None:
        """Ask the agent to end the turn. Its messages show whether it does."""
        # It raises if the process has ended or does not answer.
        with anyio.move_on_after(seconds), suppress(Exception):
            await self._client.interrupt()

    async def set_model(self, model: str | None) -> None:
        """Switch to another model. Raises AgentError."""
        await self._change(f"model {model!r}", self._client.set_model(model))

    async def set_permission_mode(self, mode: Any) -> None:  # noqa: ANN401 - a Literal that grows with the SDK
        """Switch to another permission mode. Raises AgentError."""
        await self._change(f"permission mode {mode!r}", self._client.set_permission_mode(mode))

    async def _change(self, what: str, change: Awaitable[None]) -> None:
        with suppress(Exception):  # the SDK raises plain Exceptions, whose text may quote anything
            await change
            return
        raise AgentError(f"the agent does not take {what}: it goes on as before")

    async def messages(self) -> AsyncIterator[object]:
        """Yield the agent's messages until the process ends. A failure of the process counts as its end."""
        try:
            async for message in self._client.receive_messages():
                self._note(message)
                yield message
        except Exception:  # noqa: BLE001 - the SDK raises plain Exceptions too
            return
        finally:
            self.has_ended = True

    async def stop(self) -> None:
        """End the process and remove its temporary folder."""
        self.has_ended = True
        with anyio.move_on_after(STOP_SECONDS, shield=True), suppress(Exception):
            await self._client.disconnect()
        if self._pid is not None:
            self._guard.unwatch(self._pid)
            self._pid = None
        await in_thread(kill_marked, f"{_MARK}={self._mark}")

    def spent_since_last_result(self, result: ResultMessage) -> Totals:
        """Return what was spent since the previous result. A result's own counts begin at process start."""
        now = Totals(usage_of_models(result.model_usage), cost_of(result.total_cost_usd))
        before, self._totals = self._totals, now
        self._unconfirmed.clear()
        return Totals(now.usage - before.usage, max(now.cost_usd - before.cost_usd, 0.0))

    def count_unconfirmed(self) -> Usage:
        """Return the tokens of an ended process that no result will count. Their cost is unknown."""
        spent = sum(self._unconfirmed.values(), Usage())
        self._unconfirmed.clear()
        return spent

    def _note(self, message: object) -> None:
        match message:
            case TaskStartedMessage():
                self.tasks.add(message.task_id)
            case TaskNotificationMessage():
                self.tasks.discard(message.task_id)
            case TaskUpdatedMessage() if message.status in TERMINAL_TASK_STATUSES:
                self.tasks.discard(message.task_id)
            case SystemMessage(subtype="session_state_changed", data={"state": str(state)}):
                self._state = state
            case ConversationResetMessage():
                self._totals = Totals()
            case SystemMessage(subtype="init", data={"session_id": str(session_id)}):
                self.store.lease.session_id = session_id
            case StreamEvent(event={"type": "message_start", "message": {"id": str(name), "usage": usage}}):
                self._unconfirmed[name] = _usage(usage)
            case StreamEvent(event={"type": "message_delta", "usage": usage}) if self._unconfirmed:
                name = next(reversed(self._unconfirmed))
                self._unconfirmed[name] = replace(
                    self._unconfirmed[name], output_tokens=_usage(usage).output_tokens
                )
            case AssistantMessage(message_id=str(name), parent_tool_use_id=str(), usage=usage):
                self._unconfirmed[name] = _usage(usage)
            case _:
                pass


def own_projects(options: ClaudeAgentOptions) -> Path:
    """Return the folder where an agent that was not resumed from a store writes its transcripts."""
    folder = options.env.get("CLAUDE_CONFIG_DIR") or os.environ.get("CLAUDE_CONFIG_DIR")
    home = options.env.get("HOME") or Path.home()
    return Path(folder or Path(home, ".claude"), "projects")


def _asks_the_host(options: ClaudeAgentOptions) -> bool:
    """Return True if permission requests become events, because the host does not handle or bypass them."""
    return (
        options.can_use_tool is None
        and options.permission_prompt_tool_name is None
        and options.permission_mode != "bypassPermissions"
    )


def _usage(counts: object) -> Usage:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return Usage(*(get_count(counts, name) for name in names))


def _start_error(error: Exception, options: ClaudeAgentOptions) -> Exception:  # noqa: PLR0911 - one each
    cause = error.__cause__
    if isinstance(cause, DamagedEntryError):
        return SessionDamagedError(f"session {options.resume} can't be loaded: {cause}")
    if isinstance(cause, SessionStoreError):
        return cause
    if isinstance(error, CLINotFoundError):
        return AgentMissingError("the agent's executable is not there: check cli_path, or the SDK's wheel")
    if isinstance(error, CLIConnectionError):
        if options.cwd and not Path(options.cwd).is_dir():
            return AgentMissingError(f"the folder {options.cwd} is not there: the agent is to work in it")
        return AgentStartError("the agent's executable can't be run: check cli_path and its permissions")
    if options.resume is not None:
        return SessionDamagedError(
            f"the agent can't take up session {options.resume}: `boocode-sessions check {options.resume}` "
            "tells what it lacks; with start_afresh=True the chat goes on in a new session"
        )
    return AgentStartError("the agent ended before it was ready: run its executable by hand to see why")
