"""Appends: of one writer, over a network, and of fifty sessions at once."""

from collections.abc import Awaitable, Iterator

import psycopg

from benchmarks.bench import Bench, batches
from benchmarks.entries import Entry
from benchmarks.measure import Figure, Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import ADAPTERS, BASELINE, HEADLINE, OTHERS, OURS
from benchmarks.peers.openai_agents import OpenAIAgents
from benchmarks.server import Address

_STEADY = 15
"""Calls before the first that counts: drivers prepare after 5, PostgreSQL settles on a plan after 10."""


async def one_writer(bench: Bench) -> list[Line]:
    """1, 100 and 500 entries a call."""
    lines: list[Line] = []
    plan = ((1, bench.pick(40, 10), 25), (100, bench.pick(40, 8), 1), (500, bench.pick(20, 5), 1))
    for size, rounds, repeat in plan:
        async with bench.peers((*OURS, *ADAPTERS, *(OTHERS if size == 1 else (OpenAIAgents,)))) as peers:
            steps = {label: _appending(peer, batches(7, size)) for label, peer in peers.items()}
            bench.server.settle()
            figures = await interleave(steps, rounds, repeat=repeat, warm_up=_STEADY)
        title = f"append {size} {'entry' if size == 1 else 'entries'}, one writer, unix socket"
        why = _WHY_ONE if size == 1 else _WHY_MANY
        lines.append(Line(title, "ms", figures, HEADLINE.label, BASELINE.label, 1.0, shortfall=why))
    return lines


async def round_trip(bench: Bench) -> list[Line]:
    """1 entry a call, 1 ms of network away."""
    async with bench.peers((*OURS, *ADAPTERS, *OTHERS)) as near:
        with bench.server.delayed(0.5) as (host, port):
            async with bench.reopened(near, host, port) as peers:
                steps = {label: _appending(peer, batches(7, 1)) for label, peer in peers.items()}
                bare = await psycopg.AsyncConnection.connect(
                    Address(host, port, "postgres").dsn, autocommit=True
                )
                steps["SELECT 1 on an open connection"] = lambda: _select_one(bare)
                figures = await interleave(steps, bench.pick(20, 6), repeat=10, warm_up=_STEADY)
                await bare.close()
    note = "The delay is made by a loopback proxy, 0.5 ms each way; SELECT 1 shows what it comes to."
    title = "append 1 entry, over 1 ms of network round trip"
    sides = (HEADLINE.label, BASELINE.label)
    return [Line(title, "ms", figures, *sides, 0.65, notes=[note], shortfall=_WHY_AWAY)]


async def at_once(bench: Bench) -> list[Line]:
    """50 sessions that append one entry a call, in one process."""
    sessions, each = 50, bench.pick(20, 10)
    async with bench.peers((*OURS[:2], *ADAPTERS[:2], *OTHERS)) as peers:
        steps = {label: _rush(peer, sessions, each) for label, peer in peers.items()}
        bench.server.settle()
        seconds = await interleave(steps, bench.pick(12, 4), warm_up=2)
    rates = [Figure(f.label, [sessions * each / sample for sample in f.samples]) for f in seconds]
    title = f"{sessions} concurrent sessions, one-entry appends, one process"
    sides = (HEADLINE.label, BASELINE.label)
    return [
        Line(title, "entries/s", rates, *sides, 2.0, more_is_better=True, scale=1, shortfall=_WHY_AT_ONCE)
    ]


_WHY_ONE = (
    "the statement also locks the session, compares its turn, finds out whether others wrote, and updates "
    "the summary, which takes the server about 0.1 ms more than an INSERT; the engine's pool, its greenlet "
    "and the fold take the rest. The sync repository shows the same without the greenlet."
)
_WHY_MANY = (
    "the server takes some 5 microseconds an entry for the index that keeps it once, which the adapter has "
    "not; and before it can begin, Python has to fold the batch and encode its first part."
)
_WHY_AWAY = "the one round trip takes what SELECT 1 takes, and the statement's own time comes on top of it."
_WHY_AT_ONCE = (
    "an append takes some 80 microseconds of a core in Python, in one thread, and as many at the server; "
    "they do not overlap all the time."
)


def _appending(peer: Peer, source: Iterator[list[Entry]]) -> Step:
    return lambda: peer.append("one", next(source))


def _rush(peer: Peer, sessions: int, each: int) -> Step:
    sources = [batches(number, each) for number in range(sessions)]

    def step() -> Awaitable[float | None]:
        return peer.append_at_once({f"at-once-{n}": next(source) for n, source in enumerate(sources)})

    return step


async def _select_one(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    await (await connection.execute("SELECT 1")).fetchone()
