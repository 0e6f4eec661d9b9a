"""What a backend needs of the table that says who holds a chat: the package's own, or the host's."""

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from sqlalchemy import ColumnElement, Connection

from boocode_sessions.agents.errors import FencedError
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
    repairs: int
    """The number of the newest repair; one at a time."""
    settlements: int
    """The number of the newest settlement; one at a time."""

    def next_repair(self) -> int:
        """The number of a repair that has not been tried."""
        self.repairs += 1
        return self.repairs

    def next_settlement(self) -> int:
        """The number of a settlement that has not been tried."""
        self.settlements += 1
        return self.settlements

    def fenced(self) -> FencedError:
        """What a write raises that comes after another process has taken the chat."""
        return FencedError(
            f"{self} was taken over by another process: what this one still has is not written"
        )

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


@runtime_checkable
class AgentSessionWriter(Protocol):
    """Keeps the leases and the costs: `AgentSessions`, or the host's own over its own table.

    Every method runs in a transaction of `connection` that the backend commits. The backend logs any other
    exception than those named here, and treats the call as one that the database has refused.
    """

    @property
    def fence(self) -> ColumnElement[bool]:
        """The condition that every append is under, in the statement that appends: the chat's row says that
        this process has it, and locks the row (`with_for_update(read=True)`), so that nobody takes it before
        the commit.

        Its parameters are `fence_chat_id`, `fence_agent`, `fence_holder` (text), `fence_token` and
        `fence_repairs` (bigint): the lease's, all of which the row has to have.
        """
        ...

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

    def repair(self, connection: Connection, lease: Lease, number: int) -> None:
        """Note a repair: an append that was begun before is refused from now on, and can't land behind what
        the repair has added. Raises FencedError."""
        ...

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        """Let the chat go on in another session. Raises FencedError."""
        ...

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        """Add what a turn has spent, once for each `number`. Raises FencedError."""
        ...
