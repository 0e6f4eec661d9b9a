"""Where the client's processor time goes: its share by package, sampled by the kernel's timer."""

import gc
import itertools
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import FrameType, TracebackType
from typing import Self

from benchmarks.bench import Bench, batches
from benchmarks.entries import transcript
from benchmarks.measure import Figure, Line
from benchmarks.peers import Peer
from benchmarks.peers.all import HEADLINE
from benchmarks.work.append import STEADY

_ALL = "all of the client"
_TICK_SECONDS = 0.001
_OWNERS = {
    "boocode_sessions._core.codec": "this package: the codec",
    "boocode_sessions._core.append": "this package: queue and plan",
    "boocode_sessions": "this package: the rest",
    "claude_agent_sdk": "the SDK's fold of the summary",
    "psycopg": "psycopg",
    "sqlalchemy": "SQLAlchemy",
    "anyio": "asyncio and anyio",
    "asyncio": "asyncio and anyio",
}
"""Packages by the beginning of a module's name, the longest first. Others count for who calls them."""


async def profile(bench: Bench) -> list[Line]:
    """Sample appends of 1 and 500 entries, fifty sessions at once, and a load."""
    calls = bench.pick(4000, 400)
    async with bench.peers((HEADLINE,)) as peers:
        (peer,) = peers.values()
        one = await _appends(peer, 1, calls)
        many = await _appends(peer, 500, calls // 40)
        rush = await _rush(peer, 50, calls // 50)
        await peer.write_long("long", transcript(5, 6000))
        bench.server.settle()
        load = await _sampled([partial(peer.load, "long")] * (calls // 40))
    at_once = [Figure(figure.label, [figure.median / 50 / (calls // 50)]) for figure in rush]
    kinds = {
        "an append of 1 entry": one,
        "an append of 500 entries": many,
        "an append of 1 entry, with 50 sessions at once": at_once,
        "a load of 6,000 entries": load,
    }
    return [
        Line(f"the client's processor time of {kind}, by package", "ms", figures, _ALL)
        for kind, figures in kinds.items()
    ]


class _Sampler:
    """Counts, at each tick of this process's processor time, whose code runs."""

    def __init__(self) -> None:
        self.ticks: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, _TICK_SECONDS, _TICK_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._before)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            for beginning, owner in _OWNERS.items():
                if module.startswith(beginning):
                    self.ticks[owner] += 1
                    return
            frame = frame.f_back
        self.ticks["the benchmark itself"] += 1


async def _sampled(calls: Sequence[Callable[[], Awaitable[object]]]) -> list[Figure]:
    gc.collect()
    gc.freeze()  # else collections would walk what imports have made, and count for the package that ran
    started = time.process_time()
    with _Sampler() as sampler:
        for call in calls:
            await call()
    used = (time.process_time() - started) / len(calls)
    total = sampler.ticks.total()
    shares = [Figure(owner, [used * ticks / total]) for owner, ticks in sampler.ticks.most_common()]
    return [Figure(_ALL, [used]), *shares]


async def _appends(peer: Peer, size: int, calls: int) -> list[Figure]:
    source = batches(7, size)
    for batch in itertools.islice(source, STEADY):
        await peer.append(f"profile-{size}", batch)
    ready = list(itertools.islice(source, calls))
    return await _sampled([partial(peer.append, f"profile-{size}", batch) for batch in ready])


async def _rush(peer: Peer, sessions: int, each: int) -> list[Figure]:
    lines = {f"at-once-{number}": transcript(number, STEADY + each) for number in range(sessions)}
    await peer.append_at_once({name: own[:STEADY] for name, own in lines.items()})
    return await _sampled([partial(peer.append_at_once, {name: own[STEADY:] for name, own in lines.items()})])
