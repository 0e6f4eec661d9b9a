"""The measured stores: this package, the peers, and the bare database.

Each has a driver with the same interface. If a peer lacks an operation, its driver raises NotSupported.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

from benchmarks.entries import Entry
from benchmarks.server import Address

PROJECT = "-home-dev-project"
"""The SDK's project key for /home/dev/project."""


class NotSupported(Exception):  # noqa: N818 - an answer, not an error
    """The peer lacks this operation, or can't run here."""


class Peer:
    """One store. A method that returns seconds has timed itself."""

    label: ClassVar[str]
    equivalent: ClassVar[str]
    """The peer's equivalents of the contract's operations, in a sentence."""

    async def setup(self, address: Address) -> None:
        """Create the tables in an empty database, then open it."""
        raise NotImplementedError

    async def open(self, address: Address) -> None:
        """Connect to a database that has the tables."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""

    async def append(
        self, session: str, entries: Sequence[Entry], subpath: str | None = None
    ) -> float | None:
        """Append entries to a transcript, in one call."""
        raise NotSupported

    async def append_at_once(self, batches: dict[str, list[Entry]]) -> float:
        """Let all sessions append their entries one by one, at the same time. Return seconds."""

        async def write(session: str, entries: list[Entry]) -> None:
            for entry in entries:
                await self.append(session, [entry])

        start = time.perf_counter()
        await asyncio.gather(*(write(session, entries) for session, entries in batches.items()))
        return time.perf_counter() - start

    async def write_long(self, session: str, entries: Sequence[Entry]) -> None:
        """Store a long session to load later, in whatever calls the store takes."""
        for start in range(0, len(entries), 500):
            await self.append(session, entries[start : start + 500])

    async def load(self, session: str) -> float | None:
        raise NotSupported

    async def list_sessions(self) -> float | None:
        raise NotSupported

    async def list_for_people(self, limit: int) -> float | None:
        """Call the SDK's own `list_sessions_from_store` over this store."""
        raise NotSupported

    async def list_subkeys(self, session: str) -> float | None:
        raise NotSupported

    async def delete(self, session: str) -> float | None:
        raise NotSupported

    async def fill(self, sessions: int, entries: int, *, first: int = 0) -> None:
        """Let the server make `sessions` sessions of `entries` small entries each."""
        raise NotSupported
