"""What a piece of work gets to run with."""

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
    """Peers that do not run here, and why."""

    def pick(self, full: int, quick: int) -> int:
        """A size or a number of rounds."""
        return quick if self.quick else full

    @contextlib.asynccontextmanager
    async def peers(self, kinds: Iterable[type[Peer]], suffix: str = "") -> AsyncIterator[dict[str, Peer]]:
        """Each kind, open on a fresh database of its own, by label."""
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
        """The same databases by another way."""
        async with contextlib.AsyncExitStack() as stack:
            again: dict[str, Peer] = {}
            for label, peer in peers.items():
                other = type(peer)()
                await other.open(Address(host, port, database_of(type(peer))))
                stack.push_async_callback(other.close)
                again[label] = other
            yield again


def database_of(kind: type[Peer]) -> str:
    """The name of its database."""
    return f"bench_{kind.__name__.lower()}"


def batches(seed: int, size: int) -> Iterator[list[Entry]]:
    """A session's lines in batches, without an end."""
    lines = endless(seed)
    while True:
        yield [next(lines) for _ in range(size)]
