"""Prints pip constraints: each dependency of pyproject.toml at the lowest version that it declares."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
declared = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
for requirement in sorted(set(declared)):
    name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement).groups()
    print(f"{name}=={version}")
