"""Listings of a project with a thousand sessions, and how they grow with the number of entries."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.measure import Figure, Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import BASELINE, HEADLINE
from benchmarks.peers.floor import Floor
from benchmarks.peers.reference import Reference
from benchmarks.peers.seed import Seed

_SESSIONS = 1000


async def listing(bench: Bench) -> list[Line]:
    """Call `list_sessions` at 100,000 to 1,600,000 entries, `list_sessions_from_store` at 400,000."""
    grown: dict[int, list[Figure]] = {}
    people: list[Figure] = []
    sizes = (100, 400, bench.pick(1600, 800))
    for each in sizes:
        async with bench.peers((HEADLINE, Reference, Floor, Seed)) as peers:
            for peer in peers.values():
                await peer.fill(_SESSIONS, each)
            bench.server.settle()
            grown[each] = await interleave(
                _steps(peers, _list), bench.pick(15, 5), warm_up=3, clock=bench.server.clock()
            )
            if each == 400:
                asked = {label: peer for label, peer in peers.items() if not isinstance(peer, Floor | Seed)}
                people = await interleave(_steps(asked, _list_for_people), bench.pick(3, 2))
    largest = {HEADLINE.label: 0.04} if sizes[-1] == 1600 else {}
    lines = [
        Line(_title(each), "ms", grown[each], BASELINE.label, targets)
        for each, targets in zip(sizes, ({}, {HEADLINE.label: 0.12}, largest), strict=True)
    ]
    lines.append(_growth(grown[sizes[-1]], grown[sizes[0]], sizes[-1]))
    title = f"`list_sessions_from_store(limit=20)`, {_SESSIONS:,} sessions, {_SESSIONS * 400:,} entries"
    note = "The SDK's own listing. It loads every session of a store that keeps no summaries."
    lines.append(Line(title, "ms", people, BASELINE.label, {HEADLINE.label: 0.01}, notes=[note]))
    return lines


def _title(each: int) -> str:
    return f"`list_sessions`, {_SESSIONS:,} sessions, {_SESSIONS * each:,} main entries"


def _growth(large: list[Figure], small: list[Figure], each: int) -> Line:
    before = Figure("at the smallest size", next(f for f in small if f.label == HEADLINE.label).samples)
    after = Figure("at the largest size", next(f for f in large if f.label == HEADLINE.label).samples)
    title = f"`list_sessions` of this package, {_SESSIONS * each:,} entries against {_SESSIONS * 100:,}"
    return Line(title, "ms", [after, before], before.label, {after.label: 1.3})


def _steps(peers: dict[str, Peer], make: Callable[[Peer], Step]) -> dict[str, Step]:
    return {label: make(peer) for label, peer in peers.items()}


def _list(peer: Peer) -> Step:
    return peer.list_sessions


def _list_for_people(peer: Peer) -> Step:
    return lambda: peer.list_for_people(20)
