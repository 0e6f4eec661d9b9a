"""Interleaved rounds. Each round runs every subject once, in a new order, so that noise hits all alike."""

import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.processors import Clock

Step = Callable[[], Awaitable[float | None]]
"""A call prepares one unit of work; only awaiting the result is timed, unless it returns its own seconds."""


@dataclass
class Figure:
    """Measurements of one subject: one sample per step."""

    label: str
    samples: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    """Processor seconds of this process and its children, if measured."""
    server: list[float] = field(default_factory=list)
    """Processor seconds of the database server's processes, if measured."""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        return sorted(self.samples)[min(len(self.samples) - 1, int(len(self.samples) * 0.95))]

    @property
    def processors(self) -> "Figure":
        """Processor time of client and server together, as a separate figure."""
        both = [mine + theirs for mine, theirs in zip(self.client, self.server, strict=True)]
        return Figure(self.label, both, self.client, self.server)


@dataclass
class Line:
    """One line of the table: a piece of work, and each subject's measurements."""

    title: str
    unit: str
    figures: list[Figure]
    baseline: str
    """The label that counts as 1.0."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Target ratios by label."""
    more_is_better: bool = False
    notes: Sequence[str] = ()
    shortfall: str = ""
    """Why the target is missed, if it is."""
    scale: float = 1000.0
    """Factor from samples to the unit; by default seconds to milliseconds."""

    def figure(self, label: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.label == label), None)

    def ratio(self, label: str) -> float | None:
        """Return a subject's median divided by the baseline's."""
        mine, base = self.figure(label), self.figure(self.baseline)
        return mine.median / base.median if mine and base else None

    def met(self, label: str) -> bool | None:
        """True if a subject meets its target; None if it has none, or did not run."""
        ratio = self.ratio(label)
        target = self.targets.get(label)
        if target is None or ratio is None:
            return None
        return ratio >= target if self.more_is_better else ratio <= target


async def interleave(
    steps: Mapping[str, Step], rounds: int, *, repeat: int = 1, warm_up: int = 1, clock: Clock | None = None
) -> list[Figure]:
    """Run every step `rounds` times `repeat` times, after an uncounted warm-up.

    With a `clock`, measure processor time too.
    """
    figures = {label: Figure(label) for label in steps}
    order = list(steps)
    shuffled = random.Random(1)
    for label in order:
        for _ in range(warm_up):
            await steps[label]()
    gc.collect()
    gc.freeze()  # else every collection would walk the objects that imports have made
    for _ in range(rounds):
        shuffled.shuffle(order)
        for label in order:
            figure = figures[label]
            gc.collect()
            if clock is not None:
                clock.find_processes()
            for _ in range(repeat):
                work = steps[label]()
                before = None if clock is None else clock.read()
                start = time.perf_counter()
                own = await work
                elapsed = time.perf_counter() - start
                if clock is not None and before is not None:
                    after = clock.read()
                    figure.client.append(after.client - before.client)
                    figure.server.append(after.server - before.server)
                figure.samples.append(elapsed if own is None else own)
    return list(figures.values())
