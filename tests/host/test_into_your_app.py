"""The snippets of docs/into-your-app.md are run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boocode_sessions import migrations
from boocode_sessions.engine import create_engine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "into-your-app.md").read_text()
SNIPPETS = dict(re.findall(r"```python\n# file: (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
[BRANCH] = re.findall(r"```ini\npath_separator = space\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"```python\n# shown, from the revision\n(.*?)```", PAGE, re.DOTALL)


def run(snippet: str, folder: Path) -> str:
    (folder / snippet).write_text(SNIPPETS[snippet])
    done = subprocess.run(
        [sys.executable, "-W", "error", snippet],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def alembic(*arguments: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize("snippet", [name for name in SNIPPETS if name != "write_revision.py"])
def test_the_snippet_runs(snippet: str, tmp_path: Path) -> None:
    run(snippet, tmp_path)


def test_the_revision_is_written_as_it_is_shown_and_brings_the_schema(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "migrations" / "hosts" / "standalone", tmp_path, dirs_exist_ok=True)
    url = f"sqlite:///{tmp_path / 'app.db'}"
    with (tmp_path / "alembic.ini").open("a") as ini:
        ini.write(f"sqlalchemy.url = {url}\n")
    written = Path(run("write_revision.py", tmp_path).splitlines()[-1]).read_text()
    [shown] = SHOWN
    for part in shown.split("\n\n\n"):
        assert part.strip() in written
    alembic("upgrade", "head", folder=tmp_path)
    assert migrations.pending(url) == []
    create_engine(url).dispose()


def test_a_branch_needs_these_lines_in_the_ini_that_alembic_writes(tmp_path: Path) -> None:
    alembic("init", "migrations", folder=tmp_path)
    ini = tmp_path / "alembic.ini"
    url = f"sqlite:///{tmp_path / 'app.db'}"
    written = re.sub(r"(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}\n{BRANCH}", ini.read_text())
    ini.write_text(re.sub(r"(?m)^((version_)?path_separator) = os.*$", r"\1 = space", written))
    alembic("upgrade", "heads", folder=tmp_path)
    assert migrations.pending(url) == []
