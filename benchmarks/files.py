"""Import and export of a large tree of transcripts: MB/s, and the whole process's peak memory.

    python -m benchmarks.files            1 GB
    python -m benchmarks.files --quick    100 MB

Lines are as agents write them: median 1.0 KB, mean 2.4 KB, a third without a uuid, text from the standard
library's source. The server is the tests' embedded one with `fsync` on, or the database at `--url`, whose
tables must be empty.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from boocode_sessions import migrations
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree, import_tree
from tests.fixtures.servers import EmbeddedPostgres

MEDIAN_BYTES = 1000
SIGMA = math.sqrt(2 * math.log(2.4))
"""Sigma of a log-normal distribution whose mean is 2.4 times its median."""
FILE_BYTES = 4_000_000
"""Mean size of a transcript."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="100 MB instead of 1 GB")
    options.add_argument("--url", help="a database of yours, migrated and empty")
    options.add_argument("--workers", type=int, help="threads instead of the default")
    options.add_argument("--files", type=int, help="how many transcripts, instead of one for each 4 MB")
    options.add_argument("--step", help=argparse.SUPPRESS)
    options.add_argument("--tree", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.step:
        run_step(chosen.step, chosen.url, Path(chosen.tree), chosen.workers)
        return
    size = 100_000_000 if chosen.quick else 1_000_000_000
    with tempfile.TemporaryDirectory(prefix="boocode-files-") as folder, database(chosen.url) as url:
        tree = Path(folder) / "tree"
        lines = generate(tree, size, chosen.files or max(1, size // FILE_BYTES))
        print(f"{size / 1e6:.0f} MB in {lines:,} lines of {size / lines:,.0f} bytes in the mean")
        server = ServerTime(url)
        for step, where in [
            ("import", tree),
            ("import again", tree),
            ("export", Path(folder) / "out"),
        ]:
            command = [
                sys.executable,
                "-m",
                "benchmarks.files",
                "--step",
                step,
                "--tree",
                str(where),
                "--url",
                url,
            ]
            if chosen.workers:
                command += ["--workers", str(chosen.workers)]
            subprocess.run(command, check=True)
            server.print_since_last()


class ServerTime:
    """Processor time of a server on this machine, including its processes that have ended."""

    def __init__(self, url: str) -> None:
        with create_engine(url).connect() as connection:
            data = connection.exec_driver_sql("SHOW data_directory").scalar_one()
        number = (Path(data) / "postmaster.pid").read_text().split()[0]
        self._first = psutil.Process(int(number))
        self._last = self._now()

    def print_since_last(self) -> None:
        now = self._now()
        print(f"{'':14} {now - self._last:.1f} s of processor time were the server's", flush=True)
        self._last = now

    def _now(self) -> float:
        ended = self._first.cpu_times()
        running = [process.cpu_times() for process in self._first.children()]
        return sum(times.user + times.system for times in [ended, *running]) + (
            ended.children_user + ended.children_system
        )


def run_step(step: str, url: str, tree: Path, workers: int | None) -> None:
    """Run one step. Each step has its own process, because peak memory never goes down."""
    engine = create_engine(url)
    began, worked = time.perf_counter(), time.process_time()
    if step == "export":
        exported = export_tree(engine, tree, workers=workers)
        size, entries = exported.bytes, exported.entries
    else:
        imported = import_tree(engine, tree, workers=workers)
        size, entries = imported.bytes, imported.added
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{step:14} {size / 1e6 / seconds:6.1f} MB/s   {entries:9,} entries in {seconds:6.1f} s, "
        f"{busy:.1f} s of processor time were Python's   peak memory {peak:.0f} MB",
        flush=True,
    )


def generate(tree: Path, size: int, files: int) -> int:
    """Write a tree of about `size` bytes. Return the number of lines."""
    chance = random.Random(1)
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    )
    lines = written = 0
    for number in range(files):
        project = tree / f"-home-someone-project-{number % 7}"
        session = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        path = project / f"{session}.jsonl"
        if number % 4 == 3:
            path = project / session / "subagents" / f"agent-{number:08x}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        until = size * (number + 1) // files
        with path.open("wb") as file:
            while written < until:
                written += file.write(line(chance, text, session))
                lines += 1
    return lines


def line(chance: random.Random, text: str, session: str) -> bytes:
    length = max(80, int(chance.lognormvariate(math.log(MEDIAN_BYTES), SIGMA)))
    if chance.random() < 1 / 3:
        entry: dict[str, object] = {"type": "queue-operation", "operation": "enqueue", "sessionId": session}
        body_at = "content"
    else:
        entry = {
            "parentUuid": str(uuid.UUID(int=chance.getrandbits(128))),
            "isSidechain": False,
            "type": "assistant",
            "uuid": str(uuid.UUID(int=chance.getrandbits(128))),
            "timestamp": "2026-01-01T00:00:00.000Z",
            "sessionId": session,
            "cwd": "/home/someone/project",
            "gitBranch": "main",
        }
        body_at = "message"
    room = max(0, int((length - len(json.dumps(entry))) / 1.05))
    start = chance.randrange(len(text) - 200_000)
    body = text[start : start + min(room, 200_000)]
    entry[body_at] = (
        body if body_at == "content" else {"role": "assistant", "content": [{"type": "text", "text": body}]}
    )
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@contextmanager
def database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="boocode-pg-"))
    server = EmbeddedPostgres(folder / "data")
    server.start()
    try:
        made = server.url.render_as_string(hide_password=False)
        migrations.upgrade(made)
        yield made
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", ".")
    main()
