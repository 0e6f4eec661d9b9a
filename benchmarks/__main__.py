"""`python -m benchmarks`: measure, print, and with `--write` rewrite docs/performance.md."""

import argparse
import asyncio
import os
import platform
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.measure import Line
from benchmarks.peers.all import ADAPTERS, OTHERS, OURS
from benchmarks.server import Server
from benchmarks.work import append, listing, load, profile, scale, sqlite, streaming, subagents

WORK: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    "append": append.one_writer,
    "ways": append.ways,
    "flushes": append.flushes,
    "disk": append.disk,
    "round-trip": append.round_trip,
    "at-once": append.at_once,
    "profile": profile.profile,
    "load": load.load,
    "listing": listing.listing,
    "subagents": subagents.subagents,
    "scale": scale.scale,
    "sqlite": sqlite.sqlite,
    "streaming": streaming.streaming,
}
ON_BOTH = ("append", "disk")
"""Work that depends on the server's compression. It also runs on Debian's server, if that is installed."""
DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller tables")
    parser.add_argument("--only", action="append", choices=WORK, help="this piece of work; may be repeated")
    parser.add_argument("--socket", type=Path, help="of a running server, instead of the wheel's own")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plot")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' own
    server = Server(arguments.socket)
    other = Server.of_distribution() if arguments.socket is None else None
    names = arguments.only or list(WORK)
    asyncio.run(_run(server, other, names, quick=arguments.quick, write=arguments.write))


async def _run(server: Server, other: Server | None, names: list[str], *, quick: bool, write: bool) -> None:
    try:
        bench = Bench(server, quick)
        heading = _heading(server, quick=quick)
        print(heading, flush=True)
        lines = await _measure(bench, names)
        if other is not None and (again := [name for name in names if name in ON_BOTH]):
            what = other.describe()
            print(f"\n## {what}", flush=True)
            for line in await _measure(Bench(other, quick), again):
                lines.append(replace(line, title=f"{line.title}; {what.partition(' (')[0]} with lz4"))
            heading = f"{heading[:-1]}. Also {what}."
        print(f"\n{report.summary(lines)}")
        if write:
            equivalents = {kind.label: kind.equivalent for kind in (*OURS[:1], *ADAPTERS, *OTHERS)}
            DOCS.mkdir(exist_ok=True)
            (DOCS / "performance.md").write_text(report.page(heading, lines, bench.missing, equivalents))
            if grown := [line for line in lines if line.title.endswith("main entries")]:
                report.growth(grown, DOCS / "listing-growth.png")
    finally:
        server.stop()
        if other is not None:
            other.stop()


async def _measure(bench: Bench, names: list[str]) -> list[Line]:
    lines: list[Line] = []
    for name in names:
        for line in await WORK[name](bench):
            lines.append(line)
            print(f"\n{report.details(line)}", flush=True)
    return lines


def _heading(server: Server, *, quick: bool) -> str:
    names = ("sqlalchemy", "psycopg", "asyncpg", "claude-agent-sdk", "openai-agents", "google-adk")
    packages = ", ".join(f"{name} {version(name)}" for name in (*names, "langgraph-checkpoint-postgres"))
    command = f"python -m benchmarks{' --quick' if quick else ''}"
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    when = f"Measured on {datetime.now(UTC):%Y-%m-%d} by `{command}`"
    return f"# Performance\n\n{when}: {server.describe()}, {machine}; {packages}."


if __name__ == "__main__":
    main()
