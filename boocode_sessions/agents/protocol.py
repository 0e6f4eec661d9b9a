"""What a host asks of any backend that runs agents, so that this one can stand beside the host's own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from boocode_sessions._core.arguments import checked
from boocode_sessions.agents.events import AgentEvent

if TYPE_CHECKING:  # a host that chooses its own backend may do without the SDK
    from claude_agent_sdk import PermissionMode

VARIABLE = "CLAUDE_SDK_BACKEND"
"""The environment's flag, off by default."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_T = TypeVar("_T")


class AgentBackend(Protocol):
    """Runs the agents of many chats."""

    def send(self, chat_id: str, prompt: str, *, agent: str = "claude") -> AsyncGenerator[AgentEvent]:
        """One turn: its events, TurnEnded the last of them."""
        ...

    async def interrupt(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the turn that is under way, and wait until it has ended."""
        ...

    async def close(self, chat_id: str, *, agent: str = "claude") -> None:
        """End the chat's agent. The chat can go on later."""
        ...

    def answer(
        self, request_id: str, *, allow: bool, message: str = "", updated_input: dict[str, Any] | None = None
    ) -> None:
        """Answer a PermissionRequested."""
        ...

    async def set_model(self, chat_id: str, model: str | None, *, agent: str = "claude") -> None:
        """Let the chat's agent use another model from now on."""
        ...

    async def set_permission_mode(self, chat_id: str, mode: PermissionMode, *, agent: str = "claude") -> None:
        """Let the chat's agent ask for other permissions from now on."""
        ...


@checked
def choose_backend(
    default: Callable[[], _T], claude: Callable[[], _T], environment: Mapping[str, str] = os.environ
) -> _T:
    """The host's own backend, or this package's if `CLAUDE_SDK_BACKEND` is `1`, `true`, `yes` or `on`.

    Args:
        default: Makes the host's own.
        claude: Makes the `ClaudeSdkBackend`. Only the one that is chosen is made.
        environment: Where to look for the flag.
    """
    return claude() if environment.get(VARIABLE, "").strip().lower() in _TRUE else default()
