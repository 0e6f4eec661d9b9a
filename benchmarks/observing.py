"""What telemetry costs: appends and loads with and without OpenTelemetry.

python -m benchmarks.observing URL_OF_AN_EMPTY_DATABASE [ROUNDS]
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.entries import endless, transcript
from boocode_sessions import ClaudeSessionRepository, migrations, telemetry
from boocode_sessions._core.keys import SessionKey
from boocode_sessions.engine import create_engine

LOADED = 100


def main(url: str, rounds: int) -> None:
    migrations.upgrade(url)
    engine = create_engine(url)
    repository = ClaudeSessionRepository(engine)
    exporter = InMemorySpanExporter()
    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracers.add_span_processor(BatchSpanProcessor(exporter))

    def with_an_sdk() -> None:
        telemetry.instrument(tracer_provider=tracers, meter_provider=meters)

    kinds = {"off": telemetry.uninstrument, "no SDK": telemetry.instrument, "an SDK": with_an_sdk}
    lines = endless(7)
    repository.append(_key("loaded"), transcript(8, LOADED))
    for size in (1, 100):

        def append(size: int = size) -> None:
            repository.append(_key(f"of {size}"), list(itertools.islice(lines, size)))

        _measure(f"append {size}", append, kinds, rounds)
    _measure(f"load {LOADED}", lambda: repository.load(_key("loaded")), kinds, rounds)
    telemetry.uninstrument()
    tracers.shutdown()
    meters.shutdown()
    engine.dispose()


def _key(session: str) -> SessionKey:
    return {"project_key": "p", "session_id": session}


def _measure(name: str, work: Callable[[], Any], kinds: dict[str, Callable[[], None]], rounds: int) -> None:
    wall: dict[str, list[float]] = {kind: [] for kind in kinds}
    processor: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 3):
        for kind, begin in kinds.items():
            begin()
            started, used = time.perf_counter(), time.thread_time()
            work()
            if number >= 3:
                wall[kind].append(time.perf_counter() - started)
                processor[kind].append(time.thread_time() - used)
    for kind in kinds:
        took, worked = statistics.median(wall[kind]) * 1e6, statistics.median(processor[kind]) * 1e6
        more = worked - statistics.median(processor["off"]) * 1e6
        print(f"{name:11} {kind:7} {took:9.0f} µs  processor {worked:9.0f} µs ({more:+.0f})")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500)
