"""What a turn of an agent tells its host: one small typed union instead of the SDK's messages."""

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
    """Tokens, as the API counts them."""

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
    """The agent is at work in this session. Comes at the beginning of each turn."""

    session_id: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class SessionReset:
    """The conversation was cleared; what follows belongs to another session, which SessionStarted names."""

    session_id: str
    """The session that ended."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the agent's answer."""

    text: str
    parent_tool_use_id: str | None = None
    """The call that started the subagent which speaks; None for the main conversation."""


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """The next piece of what the agent thinks."""

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
    """A tool has answered."""

    tool_use_id: str
    content: str | list[dict[str, Any]] | dict[str, Any] | None
    is_error: bool
    parent_tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A subagent, or a command in the background, has begun."""

    task_id: str
    description: str
    kind: str | None = None
    tool_use_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskProgressed:
    """A task goes on."""

    task_id: str
    description: str
    total_tokens: int = 0
    tool_uses: int = 0
    last_tool: str | None = None


@dataclass(frozen=True, slots=True)
class TaskUpdated:
    """A task has a new status. `completed`, `failed`, `stopped`, `killed` are final, and can come twice."""

    task_id: str
    status: str
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class PermissionRequested:
    """A tool waits for the host: `backend.answer(request_id, allow=...)`, or it is denied after a time."""

    request_id: str
    tool_name: str
    input: dict[str, Any]
    title: str | None = None
    description: str | None = None
    tool_use_id: str | None = None


PermissionOutcome = Literal["allowed", "denied", "timed_out", "withdrawn"]


@dataclass(frozen=True, slots=True)
class PermissionClosed:
    """A request needs no answer any more."""

    request_id: str
    outcome: PermissionOutcome


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The account nears its limit, or has reached it."""

    status: str
    resets_at: int | None = None
    """Unix time, seconds."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """The API has refused a request for now, and the agent will send it again."""

    attempt: int
    attempts: int
    delay_ms: int
    status: int | None = None
    """The API's HTTP status."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The agent has replaced the conversation so far by a summary of it."""

    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class MirrorFailed:
    """The database did not take some lines of the transcript. The turn goes on."""

    session_id: str | None
    subpath: str | None
    error: str
    """What the store said; holds no transcript content."""


@dataclass(frozen=True, slots=True)
class MirrorRepaired:
    """The lines that the database lacked were taken from the agent's own file: the session is whole again."""

    lines: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn can't succeed. TurnEnded follows."""

    kind: FailureKind
    message: str
    """What to do about it; holds no transcript content."""
    status: int | None = None
    """The API's HTTP status, where it is the API that refused."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The last event of every turn that began."""

    reason: EndReason
    usage: Usage = field(default_factory=Usage)
    """From the backend: what was spent since the chat's turn before, by subagents too. From `map_message`:
    since the agent's process began."""
    cost_usd: float = 0.0
    """Counted as `usage` is."""
    stored: bool = True
    """False if the database lacks some of the session's lines for now."""


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
"""Everything that `send` yields."""
