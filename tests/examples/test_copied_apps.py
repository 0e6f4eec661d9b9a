"""An example that was copied runs by the commands of its own README, wherever it lies."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
STARTED = ("alembic ", "flask --app flask_app.app db ", "python -m ")
"""The commands that end by themselves; a server is imported instead."""


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("fastapi_app", "fastapi_app.app"),
        ("flask_app", "flask_app.app"),
        ("host_app", "host_app.database"),
    ],
)
def test_a_copy_runs_by_its_readmes_commands(tmp_path: Path, name: str, module: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "test_*.py")
    readme = shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=ignored) / "README.md"
    indented = re.findall(r"^    (\S.*)$", readme.read_text(), re.MULTILINE)
    commands = [line for line in indented if line.startswith(STARTED)]
    assert commands
    assert any(line.startswith("pip install ") for line in indented)
    found = f"import sys, {module}; sys.exit('examples' in sys.modules)"
    for command in [*commands, f'python -c "{found}"']:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=tmp_path,
            env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
