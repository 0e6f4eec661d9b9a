"""How many agents' processes run: an idle one is ended for one that is wanted."""

from typing import Protocol

import anyio

from boocode_sessions.agents.errors import PoolFullError


class Evictable(Protocol):
    """What has a process."""

    @property
    def rested_at(self) -> float:
        """Since when it has been idle."""
        ...

    def can_be_evicted(self) -> bool:
        """Whether its process has nothing to do."""
        ...

    def is_ending(self) -> bool:
        """Whether it was asked to, and has nothing to do before."""
        ...

    def evict(self) -> None:
        """Ask it to end its process."""
        ...


class Pool:
    """At most `size` processes."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._members: set[Evictable] = set()
        self._waiting = 0
        self._changed: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._members)

    async def enter(self, member: Evictable) -> None:
        """Wait for a place, and take it. Raises PoolFullError after the time-out."""
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
        """Ask those that have been idle longest to end: as many as are waited for, and are not ending yet."""
        free = self._size - len(self._members)
        ending = sum(other.is_ending() for other in self._members)
        idle = [other for other in self._members if other.can_be_evicted()]
        for other in sorted(idle, key=lambda other: other.rested_at)[: max(0, self._waiting - free - ending)]:
            other.evict()

    def leave(self, member: Evictable) -> None:
        """Give the place back."""
        self._members.discard(member)
        self.notify()

    def notify(self) -> None:
        """Let those who wait look again: a place is free, or an agent has come to rest."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None
