"""One turn: a prompt from the queue, and its events until the last one."""

import math
import uuid
from dataclasses import dataclass, field

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from boocode_sessions.agents.events import AgentEvent, EndReason, Failed, FailureKind, TurnEnded


@dataclass(slots=True, eq=False)
class Turn:
    """A prompt, and the events that answer it."""

    prompt: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    stop_requested: bool = False
    """True if the turn was interrupted, or nobody listens any more."""
    result: TurnEnded | None = None
    """The agent's result. Its costs are still the totals of the process."""
    failure: FailureKind | None = None
    """Why the turn can't succeed, as its listener was told."""
    error: Exception | None = None
    """Why the turn did not begin."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    events: MemoryObjectReceiveStream[AgentEvent] = field(init=False)
    _sender: MemoryObjectSendStream[AgentEvent] = field(init=False)

    def __post_init__(self) -> None:
        # Unbounded, since a slow listener must not keep us from reading the agent's messages.
        self._sender, self.events = anyio.create_memory_object_stream[AgentEvent](math.inf)

    def emit(self, event: AgentEvent) -> None:
        """Send an event to the listener, if it still listens."""
        if isinstance(event, Failed):
            self.failure = event.kind
        try:
            self._sender.send_nowait(event)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    def outcome(self, *, is_fenced: bool, timed_out: bool, stopped: bool) -> tuple[EndReason, Failed | None]:
        """Return why the turn ended, and the failure that the agent itself could not report."""
        if is_fenced:
            advice = "another process has taken the chat over: send the prompt there"
            return "failed", Failed("lease_lost", advice)
        if timed_out:
            return "timed_out", None
        if self.result is not None:
            return self.result.reason, None
        if stopped:
            return "interrupted", None
        return "failed", Failed("agent_died", "the agent's process has ended: send the prompt again")

    def refuse(self, error: Exception) -> None:
        """End a turn that can't begin, or can't go on, with an error for its sender."""
        self.error = error
        self.close()

    def close(self) -> None:
        """End the events."""
        self._sender.close()
        self.ended.set()
