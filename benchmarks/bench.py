"""The context that each piece of work runs in."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.entries import Entry, endless
from benchmarks.peers import NotSupported, Peer
from benchmarks.server import Address, Server


@dataclass
class Bench:
    """One run."""

    server: Server
    quick: bool
    missing: dict[str, str] = field(default_factory=dict)
    """Peers that can't run here, and why."""

    def pick(self, full: int, quick: int) -> int:
        """Return a size or a number of rounds."""
        return quick if self.quick else full

    @contextlib.asynccontextmanager
    async def peers(self, kinds: Iterable[type[Peer]], suffix: str = "") -> AsyncIterator[dict[str, Peer]]:
        """Yield each kind by label, open on its own fresh database."""
        async with contextlib.AsyncExitStack() as stack:
            ready: dict[str, Peer] = {}
            for kind in kinds:
                peer = kind()
                try:
                    await peer.setup(self.server.fresh(database_of(kind) + suffix))
                except NotSupported as reason:
                    self.missing[kind.label] = str(reason)
                    continue
                stack.push_async_callback(peer.close)
                ready[kind.label] = peer
            yield ready

    @contextlib.asynccontextmanager
    async def reopened(
        self, peers: Mapping[str, Peer], host: str, port: int
    ) -> AsyncIterator[dict[str, Peer]]:
        """Yield the same databases, reached through another address."""
        async with contextlib.AsyncExitStack() as stack:
            again: dict[str, Peer] = {}
            for label, peer in peers.items():
                other = type(peer)()
                await other.open(Address(host, port, database_of(type(peer))))
                stack.push_async_callback(other.close)
                again[label] = other
            yield again


def database_of(kind: type[Peer]) -> str:
    """Return the name of its database."""
    return f"bench_{kind.__name__.lower()}"


def batches(seed: int, size: int) -> Iterator[list[Entry]]:
    """Yield endless batches of a session's lines."""
    lines = endless(seed)
    while True:
        yield [next(lines) for _ in range(size)]
