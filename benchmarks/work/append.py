"""Appends by one writer, over a network, and by fifty sessions at once."""

from collections.abc import Awaitable, Iterator
from dataclasses import replace

import psycopg

from benchmarks.bench import Bench, batches, database_of
from benchmarks.entries import Entry, transcript
from benchmarks.measure import Figure, Line, Step, interleave
from benchmarks.peers import Peer
from benchmarks.peers.all import ADAPTERS, BASELINE, HEADLINE, LISTENED, OTHERS, OURS
from benchmarks.peers.openai_agents import OpenAIAgents
from benchmarks.peers.ours import OursBlocking
from benchmarks.peers.ways import WAYS
from benchmarks.server import Address

STEADY = 15
"""Uncounted calls: drivers prepare after 5, PostgreSQL settles on a plan after 10."""


async def one_writer(bench: Bench) -> list[Line]:
    """Append 1, 100 and 500 entries per call."""
    lines: list[Line] = []
    plan = ((1, bench.pick(40, 10), 25), (100, bench.pick(40, 8), 1), (500, bench.pick(20, 5), 1))
    for size, rounds, repeat in plan:
        others = OTHERS if size == 1 else (OpenAIAgents,)
        async with bench.peers((*OURS, LISTENED, *ADAPTERS, *others)) as peers:
            steps = {label: _appending(peer, batches(7, size)) for label, peer in peers.items()}
            bench.server.settle()
            clock = bench.server.clock()
            figures = await interleave(steps, rounds, repeat=repeat, warm_up=STEADY, clock=clock)
        title = f"append {size} {'entry' if size == 1 else 'entries'}, one writer, unix socket"
        lines.append(Line(title, "ms", figures, BASELINE.label, _TARGETS[size], shortfall=_WHY[size]))
        if size == 500:
            used = [figure.processors for figure in figures]
            title = f"processor time of an append of {size}, Python and server together"
            targets = {HEADLINE.label: 1.0}
            lines.append(Line(title, "ms", used, BASELINE.label, targets, shortfall=_WHY[size]))
    return lines


async def ways(bench: Bench) -> list[Line]:
    """Append 1 entry per call, in each way that the statement can reach the driver."""
    async with bench.peers((HEADLINE, BASELINE, *WAYS)) as peers:
        steps = {label: _appending(peer, batches(7, 1)) for label, peer in peers.items()}
        bench.server.settle()
        clock = bench.server.clock()
        figures = await interleave(steps, bench.pick(40, 10), repeat=25, warm_up=STEADY, clock=clock)
    return [Line("append 1 entry, by the way to the driver", "ms", figures, BASELINE.label)]


async def flushes(bench: Bench) -> list[Line]:
    """Append a turn of 40 lines as the SDK flushes it: once at its end, or eagerly, line by line."""
    async with bench.peers((HEADLINE,)) as peers:
        (peer,) = peers.values()
        steps = {_AT_THE_END: _turn(peer, 1), "eager": _turn(peer, _TURN_LINES)}
        bench.server.settle()
        figures = await interleave(steps, bench.pick(40, 10), warm_up=5, clock=bench.server.clock())
    note = "The agent doesn't wait for an eager append, and takes seconds for such a turn."
    title = f"a turn of {_TURN_LINES} lines, {HEADLINE.label}, by session_store_flush"
    used = [figure.processors for figure in figures]
    processors = "its processor time, Python and server together"
    return [
        Line(title, "ms", figures, _AT_THE_END, notes=[note]),
        Line(processors, "ms", used, _AT_THE_END),
    ]


_TURN_LINES = 40
_AT_THE_END = "at the turn's end (the SDK's default)"


async def disk(bench: Bench) -> list[Line]:
    """Measure the disk space of 6,000 lines, with indexes, in whatever calls each store takes."""
    entries = transcript(5, 6000)
    figures: list[Figure] = []
    async with bench.peers((HEADLINE, *ADAPTERS[:1])) as peers:
        for label, peer in peers.items():
            await peer.write_long("long", entries)
            database = database_of(type(peer))
            bench.server.settle(database)
            figures.append(Figure(label, [float(bench.server.bytes_of_tables(database))]))
    title = f"disk of {len(entries):,} entries, with indexes"
    targets = {HEADLINE.label: 1.3}
    return [Line(title, "MB", figures, BASELINE.label, targets, scale=1e-6, shortfall=_WHY_DISK)]


async def round_trip(bench: Bench) -> list[Line]:
    """Append 1 entry per call, over a network with 1 ms of round trip."""
    async with bench.peers((*OURS, *ADAPTERS, *OTHERS)) as near:
        with bench.server.delayed(0.5) as (host, port):
            async with bench.reopened(near, host, port) as peers:
                steps = {label: _appending(peer, batches(7, 1)) for label, peer in peers.items()}
                bare = await psycopg.AsyncConnection.connect(
                    Address(host, port, "postgres").dsn, autocommit=True
                )
                steps["SELECT 1 on an open connection"] = lambda: _select_one(bare)
                figures = await interleave(steps, bench.pick(20, 6), repeat=10, warm_up=STEADY)
                await bare.close()
    note = "A loopback proxy makes the delay, 0.5 ms each way; SELECT 1 shows the total."
    title = "append 1 entry, over 1 ms of network round trip"
    targets = {HEADLINE.label: 0.62}
    return [Line(title, "ms", figures, BASELINE.label, targets, notes=[note], shortfall=_WHY_AWAY)]


async def at_once(bench: Bench) -> list[Line]:
    """Append one entry per call in 50 sessions at once, in one process."""
    sessions, each = 50, bench.pick(20, 10)
    async with bench.peers((*OURS[:3], *ADAPTERS[:2], *OTHERS)) as peers:
        steps = {label: _rush(peer, sessions, each) for label, peer in peers.items()}
        bench.server.settle()
        seconds = await interleave(steps, bench.pick(12, 4), warm_up=2, clock=bench.server.clock())
    entries = sessions * each
    rates = [
        Figure(
            figure.label,
            [entries / sample for sample in figure.samples],
            [used / entries for used in figure.client],
            [used / entries for used in figure.server],
        )
        for figure in seconds
    ]
    title = f"{sessions} concurrent sessions, one-entry appends, one process"
    targets = {HEADLINE.label: 2.0}
    line = Line(title, "entries/s", rates, BASELINE.label, targets, shortfall=_WHY_AT_ONCE)
    return [replace(line, more_is_better=True, scale=1)]


_TARGETS = {
    1: {HEADLINE.label: 1.1, OursBlocking.label: 0.9, LISTENED.label: 1.3},
    100: {HEADLINE.label: 0.85, LISTENED.label: 1.0},
    500: {HEADLINE.label: 0.65, LISTENED.label: 0.8},
}
_WHY_ONE = (
    "the statement also compares and advances the session's row, looks for rows of other programs and "
    "updates the summary. psycopg, the codec and the plan take half of the client's time, as much as the "
    "whole adapter. SQLAlchemy's connection and execution, which notifies listeners of each statement, take "
    "a quarter. The queue, the deadline and asyncio's tasks take the rest. Tried without a fifth of gain: "
    "the driver's own connection, which listeners don't hear (a tenth), and one task fewer (nothing)."
)
_WHY_MANY = (
    "for each entry, Python checks every value, extracts the plain columns and folds the summary, where the "
    "adapter only calls `json.dumps`. The server keeps more than the adapter's two indexes. With lz4, the "
    "server takes less time than for the adapter. Tried: arrays of texts instead of one JSON parameter "
    "(nothing), and to overlap client and server by sending parts (less time, but a third more of the "
    "processors')."
)
_WHY = {1: _WHY_ONE, 100: _WHY_MANY, 500: _WHY_MANY}
_WHY_DISK = "the plain columns and their indexes take more than the adapter's two."
_WHY_AWAY = "the one round trip takes as long as SELECT 1, and the statement's own time comes on top."
_WHY_AT_ONCE = (
    "an append takes some 170 microseconds of a core in Python, in one thread, and as many on the server, "
    "much like the adapter. We tried one statement for the plans of 25 sessions: it saves 12 and 40 of them, "
    "which is less than a fifth."
)


def _appending(peer: Peer, source: Iterator[list[Entry]]) -> Step:
    return lambda: peer.append("one", next(source))


def _turn(peer: Peer, appends: int) -> Step:
    source = batches(7, _TURN_LINES // appends)

    async def send(turn: list[list[Entry]]) -> None:
        for batch in turn:
            await peer.append(f"turns of {appends}", batch)

    return lambda: send([next(source) for _ in range(appends)])


def _rush(peer: Peer, sessions: int, each: int) -> Step:
    sources = [batches(number, each) for number in range(sessions)]

    def step() -> Awaitable[float | None]:
        return peer.append_at_once({f"at-once-{n}": next(source) for n, source in enumerate(sources)})

    return step


async def _select_one(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    await (await connection.execute("SELECT 1")).fetchone()
