"""What all chats of a backend share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions

from boocode_sessions._core.keys import project_of
from boocode_sessions._core.statements.append import Condition
from boocode_sessions._core.tenants import stored_project
from boocode_sessions.agents.database import Database
from boocode_sessions.agents.events import AgentEvent
from boocode_sessions.agents.guard import Guard
from boocode_sessions.agents.permissions import Permissions
from boocode_sessions.agents.pool import Pool
from boocode_sessions.agents.settings import Limits
from boocode_sessions.agents.writer import AgentSessionWriter, Holder
from boocode_sessions.sdk import SQLAlchemySessionStore

ChatKey = tuple[str, str]
"""(chat id, agent)"""

OptionsFor = Callable[[str, str], ClaudeAgentOptions]
"""The options for an agent of a chat."""

ProjectKeyFor = Callable[[str, str], str]
"""The project key that is stored for a chat: of its id, and of the SDK's own key."""

Listener = Callable[[str, str, AgentEvent], None]
"""Hears (chat id, agent, event)."""


@dataclass(slots=True)
class Services:
    """The backend's parts, for its chats."""

    options_for: OptionsFor
    limits: Limits
    database: Database
    schema: str | None
    store: SQLAlchemySessionStore
    project_key_for: ProjectKeyFor
    writer: AgentSessionWriter
    held: Condition
    """The writer's fence."""
    holder: Holder
    pool: Pool
    permissions: Permissions
    guard: Guard
    on_background: Listener
    start_afresh: bool
    wishes: dict[ChatKey, dict[str, Any]] = field(default_factory=dict[ChatKey, dict[str, Any]])
    """Options that were changed since for one chat: its model, its permission mode."""

    def project_key_of(self, chat_id: str, given: str) -> str:
        """What the chat's sessions are stored under that the SDK has under `given`, within its tenant.

        Raises InvalidKeyError.
        """
        return project_of(self.project_key_for(chat_id, given))

    def chat_key(self, chat_id: str) -> str:
        """What the chat's row has as `chat_id`: two tenants may have a chat of the same id."""
        return stored_project(self.database.tenant, chat_id)
