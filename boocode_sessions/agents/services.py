"""What all chats of a backend share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions

from boocode_sessions._core.statements.append import Condition
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
