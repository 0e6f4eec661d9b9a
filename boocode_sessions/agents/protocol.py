"""The protocol of a backend that runs agents, so that a host can choose between this one and its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from boocode_sessions._core.arguments import checked
from boocode_sessions.agents.events import AgentEvent

if TYPE_CHECKING:  # a host that chooses its own backend may do without the SDK
    from claude_agent_sdk import PermissionMode

VARIABLE = "CLAUDE_SDK_BACKEND"
"""The environment variable that turns this package's backend on."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_T = TypeVar("_T")


class AgentBackend(Protocol):
    """Runs the agents of many chats."""

    def send(self, chat_id: str, prompt: str, *, agent: str = "claude") -> AsyncGenerator[AgentEvent]:
        """Run one turn and yield its events. TurnEnded is the last one.

        Args:
            chat_id: The host's id of the chat.
            prompt: The user's message.
            agent: Which of the chat's agents.
        """
        ...

    async def interrupt(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the running turn and wait for its end."""
        ...

    async def close(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the chat's agent. The chat can continue later."""
        ...

    def answer(
        self, request_id: str, *, allow: bool, message: str = "", updated_input: dict[str, Any] | None = None
    ) -> None:
        """Answer a PermissionRequested.

        Args:
            request_id: The event's `request_id`.
            allow: Let the tool run.
            message: The reason of a denial, for the agent.
            updated_input: Input that the tool runs with instead of its own.
        """
        ...

    async def set_model(self, chat_id: str, model: str | None, *, agent: str = "claude") -> None:
        """Switch the chat's agent to another model.

        Args:
            chat_id: The host's id of the chat.
            model: The model's name, or None for the agent's default.
            agent: Which of the chat's agents.
        """
        ...

    async def set_permission_mode(self, chat_id: str, mode: PermissionMode, *, agent: str = "claude") -> None:
        """Switch the chat's agent to another permission mode.

        Args:
            chat_id: The host's id of the chat.
            mode: When the agent asks for permission.
            agent: Which of the chat's agents.
        """
        ...


@checked
def choose_backend(
    default: Callable[[], _T], claude: Callable[[], _T], environment: Mapping[str, str] = os.environ
) -> _T:
    """Make the host's backend, or this package's if `CLAUDE_SDK_BACKEND` is `1`, `true`, `yes` or `on`.

    Args:
        default: Makes the host's own backend.
        claude: Makes the `ClaudeSdkBackend`. Only one of the two is called.
        environment: The environment variables.
    """
    return claude() if environment.get(VARIABLE, "").strip().lower() in _TRUE else default()
