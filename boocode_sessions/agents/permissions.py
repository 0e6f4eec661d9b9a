"""Permission requests of agents to their host: each is answered once, or denied in the end."""

import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from claude_agent_sdk import PermissionResultAllow, PermissionResultDeny, ToolPermissionContext

from boocode_sessions.agents.errors import PermissionAnsweredError, UnknownPermissionError
from boocode_sessions.agents.events import (
    AgentEvent,
    PermissionClosed,
    PermissionOutcome,
    PermissionRequested,
)

_CLOSED_KEPT = 1000
"""How many closed requests to remember, so that a late answer gets the right error."""

PermissionResult = PermissionResultAllow | PermissionResultDeny


@dataclass(slots=True)
class _Request:
    emit: Callable[[AgentEvent], None]
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: PermissionResult | None = None


class Permissions:
    """The open permission requests of all chats."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[str, _Request] = {}
        self._closed: deque[str] = deque(maxlen=_CLOSED_KEPT)

    async def ask(
        self,
        emit: Callable[[AgentEvent], None],
        tool_name: str,
        tool_input: dict[str, Any],
        context: ToolPermissionContext,
    ) -> PermissionResult:
        """Ask the host and wait for its answer. Without one in time the answer is a denial.

        `emit` is called with the PermissionRequested, and later with the PermissionClosed.
        """
        request_id, request = uuid.uuid4().hex, _Request(emit)
        self._open[request_id] = request
        outcome: PermissionOutcome = "withdrawn"
        emit(
            PermissionRequested(
                request_id, tool_name, tool_input, context.title, context.description, context.tool_use_id
            )
        )
        try:
            with anyio.move_on_after(self._seconds):
                await request.answered.wait()
            if request.answer is None:
                outcome = "timed_out"
                return PermissionResultDeny(message="Nobody has answered in time.")
            outcome = "allowed" if isinstance(request.answer, PermissionResultAllow) else "denied"
            return request.answer
        finally:
            self._close(request_id, outcome)

    def withdraw(self, emit: Callable[[AgentEvent], None]) -> None:
        """Close the open requests that were made with this `emit`, whose agent is gone."""
        for request_id in [name for name, request in self._open.items() if request.emit == emit]:
            self._close(request_id, "withdrawn")

    def _close(self, request_id: str, outcome: PermissionOutcome) -> None:
        request = self._open.pop(request_id, None)
        if request is not None:
            self._closed.append(request_id)
            request.emit(PermissionClosed(request_id, outcome))

    def answer(
        self, request_id: str, *, allow: bool, message: str, updated_input: dict[str, Any] | None
    ) -> None:
        """Like ClaudeSdkBackend.answer."""
        request = self._open.get(request_id)
        if request is None:
            if request_id in self._closed:
                raise PermissionAnsweredError(f"permission {request_id} was answered, or its time is over")
            raise UnknownPermissionError(f"no agent here asks for permission {request_id}")
        if request.answer is not None:
            raise PermissionAnsweredError(f"permission {request_id} was answered before")
        request.answer = (
            PermissionResultAllow(updated_input=updated_input)
            if allow
            else PermissionResultDeny(message=message or "The user has denied it.")
        )
        request.answered.set()
