"""Prints pip constraints: each dependency of pyproject.toml at the lowest version that it declares."""

import re
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
declared = {*project["dependencies"], *chain(*project["optional-dependencies"].values())}
for requirement in sorted(declared):
    name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement).groups()
    print(f"{name}=={version}")  # noqa: T201 - a program that prints
