"""Sessions with a thousand subagent files."""

from collections.abc import Awaitable

from benchmarks.bench import Bench, database_of
from benchmarks.entries import transcript
from benchmarks.measure import Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import BASELINE, HEADLINE
from benchmarks.peers.reference import Reference
from benchmarks.peers.seed import Seed

_FILES = 1000
_WHY_LISTING = (
    "it reads one row per transcript, however long the transcripts are. If they are short and the table is "
    "vacuumed, the adapter reads hardly more. The client takes most of the time: any call over an "
    "AsyncEngine takes it some 1 ms."
)
_WHY_DELETION = "both mark each row as deleted and flush that to disk, which takes nearly all of the time."


async def subagents(bench: Bench) -> list[Line]:
    """Call `list_subkeys` and `delete` with short and longer subagent files."""
    return [*await _subagents(bench, 5), *await _subagents(bench, 50)]


async def _subagents(bench: Bench, entries: int) -> list[Line]:
    rounds = bench.pick(9, 3)
    async with bench.peers((HEADLINE, Reference, Seed)) as peers:
        for peer in peers.values():
            await _write(peer, "listed", entries)
            for number in range(rounds + 1):
                await _write(peer, f"deleted-{number}", entries)
        bench.server.settle(*(database_of(type(peer)) for peer in peers.values()))
        clock = bench.server.clock()
        listed = await interleave(
            {n: _listing(p) for n, p in peers.items()}, rounds * 3, warm_up=8, clock=clock
        )
        deleted = await interleave({n: _deleting(p) for n, p in peers.items()}, rounds, clock=clock)
    what = f"session with {_FILES:,} subagent files of {entries} entries"
    base, ours = BASELINE.label, HEADLINE.label
    return [
        Line(f"`list_subkeys` of a {what}", "ms", listed, base, {ours: 0.3}, shortfall=_WHY_LISTING),
        Line(f"`delete` of a {what}", "ms", deleted, base, {ours: 0.8}, shortfall=_WHY_DELETION),
    ]


async def _write(peer: Peer, session: str, entries: int) -> None:
    lines = transcript(3, entries)
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
