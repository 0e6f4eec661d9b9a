"""The parts of a backend that all its chats share."""

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
"""Takes (chat id, agent) and returns the agent's options."""

ProjectKeyFor = Callable[[str, str], str]
"""Takes (chat id, the SDK's project key) and returns the project key to store."""

Listener = Callable[[str, str, AgentEvent], None]
"""Takes (chat id, agent, event)."""


@dataclass(slots=True)
class Services:
    """The backend's parts."""

    options_for: OptionsFor
    limits: Limits
    database: Database
    schema: str | None
    store: SQLAlchemySessionStore
    project_key_for: ProjectKeyFor
    writer: AgentSessionWriter
    fence: Condition
    """The writer's fence, as a condition of each append."""
    holder: Holder
    pool: Pool
    permissions: Permissions
    guard: Guard
    on_background: Listener
    start_afresh: bool
    overrides: dict[ChatKey, dict[str, Any]] = field(default_factory=dict[ChatKey, dict[str, Any]])
    """Options that were changed later for one agent of a chat: its model, its permission mode."""

    def project_key_of(self, chat_id: str, given: str) -> str:
        """Return the chat's project key, within its tenant, for the SDK's key `given`.

        Raises InvalidKeyError.
        """
        return project_of(self.project_key_for(chat_id, given))

    def chat_key(self, chat_id: str) -> str:
        """Return the `chat_id` of the chat's row, tenant included: two tenants may use the same chat id."""
        return stored_project(self.database.tenant, chat_id)
