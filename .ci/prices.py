"""Compares the price list of the package with that of the agent which the installed SDK brings.

It tells what differs and what is lacking, and ends with status 1 then: mend prices.json, with its day.
"""

import json
import mmap
import re
import subprocess
import sys
from pathlib import Path

import claude_agent_sdk

FIELDS = {
    "input": "input",
    "output": "output",
    "cache_read": "cache_read",
    "cache_write_5m": "cache_write",
    "cache_write_1h": "cache_write_1h",
}
"""The agent's names, and ours."""

PRICES = Path(__file__).parents[1] / "boocode_sessions" / "queries" / "prices.json"


def catalog(program: Path) -> dict[str, dict[str, float]]:
    """The agent's own list: each model has one of several tiers."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(b"pricing_tiers:{")
        models = content.find(b"models:[{id:", start)
        if start < 0 or models < 0:
            sys.exit(f"{program} has no list of prices in the form that is known here")
        tiers_text = content[start:models].decode()
        models_text = content[models : models + 100_000].decode(errors="replace")
    tiers = {
        name: {ours: float(re.search(rf"\b{theirs}:([\d.e]+)", text)[1]) for theirs, ours in FIELDS.items()}
        for name, text in re.findall(r"(\w+):\{(input:[^{}]*)", tiers_text)
    }
    found = re.findall(r'\{id:"([\w-]+)",family:.*?pricing(?:_tier)?:"(\w+)"', models_text)
    return {model: tiers[tier] for model, tier in found}


def price_of(model: str, models: dict[str, dict[str, float]]) -> dict[str, float] | None:
    """By the longest name that fits, as the package takes it."""
    fitting = [name for name in models if model.startswith(name)]
    return models[max(fitting, key=len)] if fitting else None


program = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - the SDK's own program
ours = json.loads(PRICES.read_text())
theirs = catalog(program)
wrong = {model: price for model, price in theirs.items() if price_of(model, ours["models"]) != price}
for model, price in wrong.items():
    print(f"{model}: {price_of(model, ours['models'])}, and the agent has {price}")  # noqa: T201 - a program that prints
agreeing = f"{len(theirs) - len(wrong)} of {len(theirs)} models"
print(f"{agreeing} as {version} has them; the list is of {ours['as_of']}")  # noqa: T201
sys.exit(bool(wrong))
