"""Limits the number of agent processes: an idle one is ended when another one is needed."""

from typing import Protocol

import anyio

from boocode_sessions.agents.errors import PoolFullError


class Evictable(Protocol):
    """The owner of a process."""

    @property
    def last_active_at(self) -> float:
        """When the process was last busy."""
        ...

    def can_be_evicted(self) -> bool:
        """Return True if the process has nothing to do."""
        ...

    def is_ending(self) -> bool:
        """Return True if the owner was asked to end its process and has nothing left to do."""
        ...

    def evict(self) -> None:
        """Ask the owner to end its process."""
        ...


class Pool:
    """Admits at most `size` processes."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._members: set[Evictable] = set()
        self._waiting = 0
        self._changed: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._members)

    async def enter(self, member: Evictable) -> None:
        """Wait for a place and take it. Raises PoolFullError after the timeout."""
        self._waiting += 1
        try:
            with anyio.move_on_after(self._seconds):
                while len(self._members) >= self._size:
                    self._make_room()
                    self._changed = self._changed or anyio.Event()
                    await self._changed.wait()
                self._members.add(member)
                return
        finally:
            self._waiting -= 1
        raise PoolFullError(
            f"all {self._size} agents are at work, and none has ended within {self._seconds:g} s: "
            "raise max_warm, or send the prompt again later"
        )

    def _make_room(self) -> None:
        """Evict the processes that have been idle longest: one per waiter that gets no place otherwise."""
        free = self._size - len(self._members)
        ending = sum(other.is_ending() for other in self._members)
        idle = [other for other in self._members if other.can_be_evicted()]
        for other in sorted(idle, key=lambda other: other.last_active_at)[
            : max(0, self._waiting - free - ending)
        ]:
            other.evict()

    def leave(self, member: Evictable) -> None:
        """Give the place back."""
        self._members.discard(member)
        self.notify()

    def notify(self) -> None:
        """Let waiters look again, because a place is free or an agent has become idle."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None
