"""Passes an agent's messages and permission requests to the turn's listener, or to `on_background`."""

import logging
from collections.abc import Callable
from typing import Any

import anyio
from claude_agent_sdk import ResultMessage, SystemMessage, ToolPermissionContext

from boocode_sessions.agents.accounts import Accounts
from boocode_sessions.agents.events import AgentEvent, TurnEnded
from boocode_sessions.agents.mapping import map_message
from boocode_sessions.agents.permissions import PermissionResult
from boocode_sessions.agents.process import AgentProcess
from boocode_sessions.agents.services import Services
from boocode_sessions.agents.turn import Turn

_log = logging.getLogger(__name__)


class Reader:
    """Reads the messages of the processes of one chat's agent."""

    def __init__(
        self, services: Services, accounts: Accounts, chat_id: str, agent: str, wake: Callable[[], None]
    ) -> None:
        self._services = services
        self._accounts = accounts
        self._chat_id, self._agent = chat_id, agent
        self._wake = wake
        self.turn: Turn | None = None
        """The running turn."""
        self.permissions = 0
        """The number of open permission requests."""
        self.last_active_at = anyio.current_time()
        """When the process last sent a message or a turn last ended."""

    async def read(self, process: AgentProcess) -> None:
        """Read a process's messages until it ends."""
        async for message in process.messages():
            turn, self.last_active_at = self.turn, anyio.current_time()
            for event in map_message(message):
                if not isinstance(event, TurnEnded):
                    self.emit(event)
                elif turn is not None and isinstance(message, ResultMessage) and _answers(message, turn):
                    turn.result = event
                else:
                    self._emit_background(event)
            if isinstance(message, ResultMessage):
                spent = process.spent_since_last_result(message)
                self._accounts.spend(spent.usage, spent.cost_usd)
                self._wake()
            elif isinstance(message, SystemMessage):  # a background task may have begun or ended
                self._wake()
        self._wake()

    def emit(self, event: AgentEvent) -> None:
        """Send an event to the turn's listener, or to `on_background` between turns."""
        if self.turn is not None:
            self.turn.emit(event)
        else:
            self._emit_background(event)

    def _emit_background(self, event: AgentEvent) -> None:
        try:
            self._services.on_background(self._chat_id, self._agent, event)
        except Exception:  # noqa: BLE001 - the host's exception would end the agents of all chats
            _log.exception("on_background has failed for chat %r at %s", self._chat_id, type(event).__name__)

    async def ask(
        self, tool_name: str, tool_input: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResult:
        """Let the host decide whether a tool may run."""
        self.permissions += 1
        try:
            return await self._services.permissions.ask(self.emit, tool_name, tool_input, context)
        finally:
            self.permissions -= 1


def _answers(result: ResultMessage, turn: Turn) -> bool:
    """Return True if a result answers the turn, and not a turn that the agent began by itself."""
    ids = result.user_message_uuids or []
    if result.user_message_uuid is not None or ids:
        return turn.id == result.user_message_uuid or turn.id in ids
    return result.origin is None or result.origin.get("kind") == "human"
