"""Prints pip constraints: each dependency of pyproject.toml at the lowest version that all of it allows."""

import re
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
declared = {*project["dependencies"], *chain(*project["optional-dependencies"].values())}
lowest: dict[str, tuple[int, ...]] = {}
for requirement in declared:
    name, version = re.match(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement).groups()
    lowest[name] = max(lowest.get(name, ()), tuple(map(int, version.split("."))))
for name, version in sorted(lowest.items()):
    print(f"{name}=={'.'.join(map(str, version))}")  # noqa: T201 - a program that prints
