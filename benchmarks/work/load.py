"""Loads of one long session: time and peak memory."""

import asyncio
import json
import sys

from benchmarks.bench import Bench, database_of
from benchmarks.entries import describe, transcript
from benchmarks.measure import Figure, Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import ADAPTERS, BASELINE, HEADLINE, OTHERS, OURS
from benchmarks.peers.seed import Seed

_WHY = (
    "for both, the server has to convert JSONB to text, which is nearly half of the adapter's time. psycopg "
    "hands a result over when it has all of it, so server and client take turns; asyncpg decodes rows while "
    "the server sends others. Tried: psycopg's stream of rows, past SQLAlchemy, so that they overlap; on "
    "busy cores nothing is gained."
)
_PEAK = "Peak of resident memory during the call, less what it was before, each in a separate process."


async def load(bench: Bench) -> list[Line]:
    """Load a session of 6,000 entries."""
    entries = transcript(5, bench.pick(6000, 3000))
    kinds = (*OURS, *ADAPTERS, *OTHERS)
    async with bench.peers(kinds) as peers:
        for peer in peers.values():
            await peer.write_long("long", entries)
        bench.server.settle()
        steps = {label: _loading(peer) for label, peer in peers.items()}
        times = await interleave(steps, bench.pick(15, 5), warm_up=2, clock=bench.server.clock())
        here = [kind for kind in kinds if kind.label in peers and kind is not Seed]
        memory = [Figure(kind.label, [await _memory(bench, kind)]) for kind in here]
    title = f"load of {len(entries):,} entries"
    head, base = HEADLINE.label, BASELINE.label
    return [
        Line(title, "ms", times, base, {head: 0.4}, notes=[f"{describe(entries)}."], shortfall=_WHY),
        Line(f"{title}, peak memory", "MB", memory, base, {head: 1.0}, scale=1e-6, notes=[_PEAK]),
    ]


def _loading(peer: Peer) -> Step:
    return lambda: peer.load("long")


async def _memory(bench: Bench, kind: type[Peer]) -> float:
    at = bench.server.at(database_of(kind))
    request = {"module": kind.__module__, "name": kind.__name__, **vars(at)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.memory", json.dumps(request), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return float(out)
