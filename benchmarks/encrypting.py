"""What encryption costs: appends and loads with and without it, in wall-clock and processor time.

python -m benchmarks.encrypting URL_OF_AN_EMPTY_DATABASE [ROUNDS]
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.entries import endless, transcript
from boocode_sessions import ClaudeSessionRepository, migrations
from boocode_sessions._core.keys import SessionKey
from boocode_sessions.engine import create_engine
from boocode_sessions.privacy import Encryption, generate_key

LOADED = 2000


def main(url: str, rounds: int) -> None:
    migrations.upgrade(url)
    engine = create_engine(url)
    kinds = {
        "plain": ClaudeSessionRepository(engine),
        "encrypted": ClaudeSessionRepository(engine, encryption=Encryption([generate_key()])),
        "not compressed": ClaudeSessionRepository(
            engine, encryption=Encryption([generate_key()], compress=False)
        ),
    }
    lines = {kind: endless(7) for kind in kinds}
    stored = transcript(8, LOADED)
    for kind, repository in kinds.items():
        repository.append(_key(kind, "loaded"), stored)
    for size in (1, 100, 500):

        def append(kind: str, size: int = size) -> None:
            kinds[kind].append(_key(kind, f"of {size}"), list(itertools.islice(lines[kind], size)))

        _measure(f"append {size}", append, list(kinds), rounds if size < 500 else rounds // 5)
    _measure(f"load {LOADED}", lambda kind: kinds[kind].load(_key(kind, "loaded")), list(kinds), rounds // 5)
    engine.dispose()


def _key(kind: str, session: str) -> SessionKey:
    return {"project_key": kind, "session_id": session}


def _measure(name: str, work: Callable[[str], Any], kinds: list[str], rounds: int) -> None:
    wall: dict[str, list[float]] = {kind: [] for kind in kinds}
    processor: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(rounds + 3):
        for kind in kinds:
            started, used = time.perf_counter(), time.process_time()
            work(kind)
            if number >= 3:
                wall[kind].append(time.perf_counter() - started)
                processor[kind].append(time.process_time() - used)
    for kind in kinds:
        took, worked = statistics.median(wall[kind]) * 1e3, statistics.median(processor[kind]) * 1e3
        against = took / (statistics.median(wall["plain"]) * 1e3)
        busy = worked / (statistics.median(processor["plain"]) * 1e3)
        print(f"{name:11} {kind:15} {took:9.3f} ms ({against:.2f})  processor {worked:9.3f} ms ({busy:.2f})")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
