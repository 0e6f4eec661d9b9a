"""The same work on a table of millions of rows and on an empty one."""

from collections.abc import Awaitable

from benchmarks.bench import Bench, batches
from benchmarks.entries import transcript
from benchmarks.measure import Figure, Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import BASELINE, HEADLINE

_EACH = 400
_STEADY = 15


async def scale(bench: Bench) -> list[Line]:
    """Append and load in a table with 10 million other rows."""
    rows = bench.pick(10_000_000, 1_000_000)
    lines: list[Line] = []
    appends: dict[str, dict[str, Figure]] = {}
    for kind in (HEADLINE, BASELINE):
        async with bench.peers((kind,), "empty") as empty, bench.peers((kind,), "full") as full:
            await full[kind.label].fill(rows // _EACH, _EACH)
            places = {"in an empty table": empty[kind.label], f"beside {rows:,} rows": full[kind.label]}
            for peer in places.values():
                await peer.write_long("long", transcript(5, _EACH))
            bench.server.settle()
            steps = {f"{kind.label}, {place}": _appending(peer) for place, peer in places.items()}
            figures = await interleave(steps, bench.pick(30, 10), repeat=20, warm_up=_STEADY)
            steps = {f"{kind.label}, {place}": _loading(peer) for place, peer in places.items()}
            loads = await interleave(steps, bench.pick(30, 10), repeat=3, warm_up=5)
        for what, measured in (("append 1 entry", figures), (f"load of {_EACH} entries", loads)):
            appends.setdefault(what, {}).update({figure.label: figure for figure in measured})
    for what, by_label in appends.items():
        mine = f"{HEADLINE.label}, beside {rows:,} rows"
        alone = f"{HEADLINE.label}, in an empty table"
        title = f"{what}, in a table of {rows:,} rows against an empty one"
        lines.append(Line(title, "ms", list(by_label.values()), alone, {mine: 1.2}))
    return lines


def _appending(peer: Peer) -> Step:
    source = batches(7, 1)

    def step() -> Awaitable[float | None]:
        return peer.append("one", next(source))

    return step


def _loading(peer: Peer) -> Step:
    return lambda: peer.load("long")
