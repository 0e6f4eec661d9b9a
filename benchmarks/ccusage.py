"""How long ccusage takes over the imported files, and its totals next to ours."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Engine

from boocode_sessions import queries


def print_ccusage(tree: Path) -> None:
    """Print how long ccusage takes for its table of days, as a process, and its totals, if npm has it."""
    if (npx := shutil.which("npx")) is None:
        print("ccusage 17: there is no npx")
        return
    command = [npx, "--yes", "ccusage@17"]
    environment = {**os.environ, "CLAUDE_CONFIG_DIR": str(tree)}
    if subprocess.run([*command, "--version"], env=environment, capture_output=True, check=False).returncode:
        print("ccusage 17: npm does not answer")
        return
    began = time.perf_counter()
    daily = [*command, "daily", "--json", "--offline", "--timezone", "UTC"]
    answer = subprocess.run(daily, env=environment, capture_output=True, check=True).stdout
    seconds, totals = time.perf_counter() - began, json.loads(answer)["totals"]
    print(f"ccusage 17 daily: {seconds:.1f} s; {_totals(totals[name] for name in CCUSAGE)}", flush=True)


CCUSAGE = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens")


def _totals(tokens: Iterable[int]) -> str:
    kinds = ("in", "out", "read from the cache", "written to it")
    return ", ".join(f"{count:,} {kind}" for count, kind in zip(tokens, kinds, strict=True))


def print_usage(engine: Engine) -> None:
    """Print the same totals from `usage`."""
    (row,) = queries.usage(engine, by=())
    tokens = (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens)
    print(f"{engine.dialect.name:10} usage: {_totals(tokens)}", flush=True)
