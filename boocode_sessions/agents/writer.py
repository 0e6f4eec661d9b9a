"""What a backend needs of the table that says who holds a chat: the package's own, or the host's."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from sqlalchemy import Connection

from boocode_sessions.agents.events import Usage


@dataclass(frozen=True, slots=True)
class Holder:
    """A backend: one process on one host."""

    id: str
    """Random; another one after a restart."""
    host: str
    pid: int


@dataclass(slots=True)
class Lease:
    """A chat that this process holds, or held last."""

    chat_id: str
    agent: str
    holder: Holder
    token: int
    session_id: str
    project_key: str
    turns: int
    is_new: bool
    """Whether the chat had no row before."""
    appends: int
    """The number of the newest append; one at a time."""
    settlements: int
    """The number of the newest settlement; one at a time."""

    def next_append(self) -> int:
        """The number of an append that has not been tried."""
        self.appends += 1
        return self.appends

    def next_settlement(self) -> int:
        """The number of a settlement that has not been tried."""
        self.settlements += 1
        return self.settlements

    def __str__(self) -> str:
        return f"agent {self.agent!r} of chat {self.chat_id!r}"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written when a turn has ended."""

    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    turns: int = 0
    has_ended: bool = False
    """Whether a turn has ended, answered or not."""
    error: str | None = None
    incomplete: bool = False
    release: bool = True
    """Whether the chat becomes free."""

    def __add__(self, later: "Settlement") -> "Settlement":
        return replace(
            later if later.has_ended else self,
            incomplete=later.incomplete,
            release=later.release,
            usage=self.usage + later.usage,
            cost_usd=self.cost_usd + later.cost_usd,
            turns=self.turns + later.turns,
        )


class Written(Enum):
    """Whether a numbered append is still to be written."""

    due = "due"
    landed = "landed"
    """A try whose answer was lost has committed it."""


class AgentSessionWriter(Protocol):
    """Keeps the leases and the costs: `AgentSessions`, or the host's own over its own table.

    Every method runs in a transaction of `connection` that the backend commits.
    """

    def acquire(
        self,
        connection: Connection,
        chat_id: str,
        agent: str,
        *,
        holder: Holder,
        project_key: str,
        session_id: str,
        seconds: float,
    ) -> Lease:
        """Take the chat for so long. `session_id` is for a chat without a row. Raises ChatHeldError."""
        ...

    def renew(self, connection: Connection, lease: Lease, seconds: float) -> bool:
        """Hold the chat for so long from now. Returns False if somebody else has taken it."""
        ...

    def append(self, connection: Connection, lease: Lease, number: int) -> Written:
        """Check that this process may append, and note the append's number. Raises FencedError."""
        ...

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        """Let the chat go on in another session. Raises FencedError."""
        ...

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        """Add what a turn has spent, once for each `number`. Raises FencedError."""
        ...
