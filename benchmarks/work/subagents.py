"""Sessions with a thousand subagent files."""

from collections.abc import Awaitable

from benchmarks.bench import Bench
from benchmarks.entries import transcript
from benchmarks.measure import Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import BASELINE, HEADLINE
from benchmarks.peers.reference import Reference
from benchmarks.peers.seed import Seed

_FILES, _LINES = 1000, 5


async def subagents(bench: Bench) -> list[Line]:
    """`list_subkeys` and `delete`."""
    rounds = bench.pick(7, 3)
    async with bench.peers((HEADLINE, Reference, Seed)) as peers:
        for peer in peers.values():
            await _write(peer, "listed")
            for number in range(rounds + 1):
                await _write(peer, f"deleted-{number}")
        bench.server.settle()
        listed = await interleave({n: _listing(p) for n, p in peers.items()}, rounds * 3, warm_up=8)
        deleted = await interleave({n: _deleting(p) for n, p in peers.items()}, rounds)
    what = f"session with {_FILES:,} subagent files of {_LINES} entries"
    return [
        Line(f"`list_subkeys` of a {what}", "ms", listed, HEADLINE.label, BASELINE.label, 0.5),
        Line(f"`delete` of a {what}", "ms", deleted, HEADLINE.label, BASELINE.label, 0.5),
    ]


async def _write(peer: Peer, session: str) -> None:
    lines = transcript(3, _LINES)
    await peer.append(session, lines)
    for number in range(_FILES):
        await peer.append(session, lines, f"subagents/agent-{number:04x}")


def _listing(peer: Peer) -> Step:
    return lambda: peer.list_subkeys("listed")


def _deleting(peer: Peer) -> Step:
    numbers = iter(range(1000))

    def step() -> Awaitable[float | None]:
        return peer.delete(f"deleted-{next(numbers)}")

    return step
