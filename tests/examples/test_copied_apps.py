"""An example that was copied runs by the commands of its own README, wherever it lies."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ENDING = ("alembic ", "flask --app flask_app.app db ", "python -m ")
"""The commands that end by themselves. Those that serve are left to tests/e2e/test_example_apps.py."""


@pytest.mark.parametrize("name", ["fastapi_app", "flask_app", "host_app"])
def test_a_copy_runs_by_its_readmes_commands(tmp_path: Path, name: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "test_*.py")
    copy = shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=ignored)
    for module in copy.rglob("*.py"):  # the tests' environment has the clone's folder on its path
        assert not re.search(r"\bexamples\b", module.read_text()), module
    indented = re.findall(r"^    (\S.*)$", (copy / "README.md").read_text(), re.MULTILINE)
    assert indented[0].startswith('pip install "boocode-sessions[')
    commands = [line for line in indented if line.startswith(ENDING)]
    assert commands
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
