"""A backend over each database, with real agents whose model is on loopback."""

from collections.abc import Callable
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions.agents import AgentEvent, ClaudeSdkBackend, Limits, TextDelta
from tests.e2e.agent import Agent
from tests.e2e.conftest import agent, api

__all__ = ["agent", "api"]

Options = Callable[..., ClaudeAgentOptions]
MakeBackend = Callable[..., ClaudeSdkBackend]

LIMITS: dict[str, Any] = {
    "turn_seconds": 40,
    "start_seconds": 40,
    "drain_seconds": 10,
    "pool_seconds": 20,
    "lease_seconds": 6,
    "repair_seconds": 0.2,
}
"""Far more than any test takes, so that only a hang is cut off."""


@pytest.fixture
def impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the SDK's three attempts, without the second of waiting between them."""
    batcher = "claude_agent_sdk._internal.transcript_mirror_batcher"
    monkeypatch.setattr(f"{batcher}.MIRROR_APPEND_BACKOFF_S", (0.0, 0.0))


@pytest.fixture
def options(agent: Agent) -> Options:
    """Makes agent options. Each process has its own config folder, so it knows only what a store tells it."""

    def make(**more: Any) -> ClaudeAgentOptions:
        env = agent.environment() | more.pop("env", {})
        return ClaudeAgentOptions(
            **{"cwd": agent.project, "env": env, "permission_mode": "bypassPermissions", **more}
        )

    return make


@pytest.fixture
def make_backend(engine: Engine, options: Options) -> MakeBackend:
    """Makes backends over the test's database. Several backends stand for several hosts."""

    def make(
        bind: Engine | AsyncEngine = engine, limits: dict[str, Any] | None = None, **arguments: Any
    ) -> ClaudeSdkBackend:
        more = arguments.pop("options", {})
        return ClaudeSdkBackend(
            bind,
            lambda _chat_id, _agent: options(**more),
            limits=Limits(**{**LIMITS, **(limits or {})}),
            **arguments,
        )

    return make


async def told(
    backend: ClaudeSdkBackend, chat_id: str, prompt: str, agent: str = "claude"
) -> list[AgentEvent]:
    """Send a prompt and return all events of its turn."""
    return [event async for event in backend.send(chat_id, prompt, agent=agent)]


def text_of(events: list[AgentEvent]) -> str:
    """Return the agent's answer."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))
