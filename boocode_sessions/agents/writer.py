"""The interface between a backend and the table of chats and leases: the package's table, or the host's."""

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from sqlalchemy import ColumnElement, Connection

from boocode_sessions.agents.errors import FencedError
from boocode_sessions.agents.events import Usage


@dataclass(frozen=True, slots=True)
class Holder:
    """A backend, which is one process on one host."""

    id: str
    """A random id. A restarted process gets a new one."""
    host: str
    pid: int


@dataclass(slots=True)
class Lease:
    """A chat that this process holds or has held."""

    chat_id: str
    agent: str
    holder: Holder
    token: int
    session_id: str
    project_key: str
    turns: int
    is_new: bool
    """True if the chat had no row before."""
    repairs: int
    """The number of the latest repair. It grows by one."""
    settlements: int
    """The number of the latest settlement. It grows by one."""

    def next_repair(self) -> int:
        """Return a new number for a repair."""
        self.repairs += 1
        return self.repairs

    def next_settlement(self) -> int:
        """Return a new number for a settlement."""
        self.settlements += 1
        return self.settlements

    def fenced(self) -> FencedError:
        """Return the error for a write that comes after another process has taken the chat."""
        return FencedError(
            f"{self} was taken over by another process: what this one still has is not written"
        )

    def __str__(self) -> str:
        return f"agent {self.agent!r} of chat {self.chat_id!r}"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written to the chat's row when a turn ends."""

    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    turns: int = 0
    has_ended: bool = False
    """True if a turn ended, answered or not."""
    error: str | None = None
    incomplete: bool = False
    release: bool = True
    """True if the chat becomes free."""

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
    """Stores leases and costs. `AgentSessions` implements it; a host can implement it over its own table.

    Every method runs in a transaction of `connection` that the backend commits. If a method raises another
    exception than those named here, the backend logs it and treats it as a failure of the database.
    """

    @property
    def fence(self) -> ColumnElement[bool]:
        """The condition of every append, checked in the appending statement: this process holds the chat.

        The condition locks the chat's row (`with_for_update(read=True)`), so that nobody takes the chat
        before the commit. Its parameters are `fence_chat_id`, `fence_agent`, `fence_holder` (text),
        `fence_token` and `fence_repairs` (bigint). They come from the lease, and the row must match them all.
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
        """Take the chat's lease.

        Args:
            connection: Where to write. The backend commits.
            chat_id: The stored id of the chat.
            agent: Which of the chat's agents.
            holder: The backend that takes the chat.
            project_key: The project key for a chat without a row.
            session_id: The session for a chat without a row.
            seconds: How long the lease lasts.

        Raises:
            ChatHeldError: Another backend holds the chat.
        """
        ...

    def renew(self, connection: Connection, lease: Lease, seconds: float) -> bool:
        """Hold the chat for longer, or again after a release, unless somebody else has taken it.

        Args:
            connection: Where to write. The backend commits.
            lease: The lease.
            seconds: How long the lease lasts from now.

        Returns:
            False if another backend has taken the chat.
        """
        ...

    def repair(self, connection: Connection, lease: Lease, number: int) -> None:
        """Note a repair, so that the fence refuses an append that began earlier. Otherwise that append could
        land after the lines that the repair adds.

        Args:
            connection: Where to write. The backend commits.
            lease: The lease.
            number: The repair's number, as `Lease.next_repair` returned it.

        Raises:
            FencedError: Another backend has taken the chat.
        """
        ...

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        """Continue the chat in another session.

        Args:
            connection: Where to write. The backend commits.
            lease: The lease.
            session_id: The session to continue in.

        Raises:
            FencedError: Another backend has taken the chat.
        """
        ...

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        """Add what a turn spent, once for each `number`.

        Args:
            connection: Where to write. The backend commits.
            lease: The lease.
            number: The settlement's number, as `Lease.next_settlement` returned it.
            settlement: What to write.

        Raises:
            FencedError: Another backend has taken the chat.
        """
        ...
