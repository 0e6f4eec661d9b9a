"""The events that a turn yields: one small typed union instead of the SDK's messages."""

import operator
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

EndReason = Literal["completed", "interrupted", "max_turns", "max_budget", "timed_out", "failed"]
"""Why a turn ended."""

FailureKind = Literal[
    "authentication",
    "rate_limited",
    "overloaded",
    "api_error",
    "agent_error",
    "agent_died",
    "lease_lost",
]
"""Why a turn failed. docs/agents.md says what a host can do about each."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, as the API reports them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*map(operator.sub, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The agent works in this session. Every turn begins with this event."""

    session_id: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class SessionReset:
    """The conversation was cleared. A SessionStarted event names the session that comes next."""

    session_id: str
    """The session that ended."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the agent's answer."""

    text: str
    parent_tool_use_id: str | None = None
    """The tool use that started the subagent that is speaking; None in the main conversation."""


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """The next piece of the agent's thinking."""

    text: str
    parent_tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The agent calls a tool."""

    tool_use_id: str
    name: str
    input: dict[str, Any]
    parent_tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool returned its result."""

    tool_use_id: str
    content: str | list[dict[str, Any]] | dict[str, Any] | None
    is_error: bool
    parent_tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A subagent or a background command began."""

    task_id: str
    description: str
    kind: str | None = None
    tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskProgressed:
    """A task made progress."""

    task_id: str
    description: str
    total_tokens: int = 0
    tool_uses: int = 0
    last_tool: str | None = None


@dataclass(frozen=True, slots=True)
class TaskUpdated:
    """A task's status changed. `completed`, `failed`, `stopped` and `killed` are final and can come twice."""

    task_id: str
    status: str
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class PermissionRequested:
    """A tool waits for `backend.answer(request_id, allow=...)`. Without an answer in time it is denied."""

    request_id: str
    tool_name: str
    input: dict[str, Any]
    title: str | None = None
    description: str | None = None
    tool_use_id: str | None = None


PermissionOutcome = Literal["allowed", "denied", "timed_out", "withdrawn"]


@dataclass(frozen=True, slots=True)
class PermissionClosed:
    """A permission request is closed and needs no answer."""

    request_id: str
    outcome: PermissionOutcome


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The account is near its rate limit or has reached it."""

    status: str
    resets_at: int | None = None
    """When the limit resets, in Unix epoch seconds."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """The API refused a request for now, and the agent will retry it."""

    attempt: int
    attempts: int
    delay_ms: int
    status: int | None = None
    """The API's HTTP status."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The agent replaced the conversation so far with a summary."""

    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class MirrorFailed:
    """The database did not store some lines of the transcript. The turn continues."""

    session_id: str | None
    subpath: str | None
    error: str
    """The store's error message, without transcript content."""


@dataclass(frozen=True, slots=True)
class MirrorRepaired:
    """The missing lines were stored from the agent's own file, so the session is whole again."""

    lines: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn can't succeed. TurnEnded follows."""

    kind: FailureKind
    message: str
    """What went wrong and what to do about it, without transcript content."""
    status: int | None = None
    """The API's HTTP status, if the API refused."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The last event of every turn that began."""

    reason: EndReason
    usage: Usage = field(default_factory=Usage)
    """Tokens spent, subagents included. In the backend's events they count since the chat's previous turn, in
    those of `map_message` since the agent's process began."""
    cost_usd: float = 0.0
    """Dollars spent since the same moment."""
    stored: bool = True
    """False if the database still lacks some of the session's lines."""


AgentEvent = (
    SessionStarted
    | SessionReset
    | TextDelta
    | ThinkingDelta
    | ToolStarted
    | ToolFinished
    | TaskStarted
    | TaskProgressed
    | TaskUpdated
    | PermissionRequested
    | PermissionClosed
    | RateLimited
    | Retrying
    | Compacted
    | MirrorFailed
    | MirrorRepaired
    | Failed
    | TurnEnded
)
"""Every event that `send` can yield."""
