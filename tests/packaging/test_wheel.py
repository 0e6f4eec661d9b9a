"""The built wheel, in an environment without our source."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import boocode_sessions

ROOT = Path(__file__).parents[2]
PACKAGE = Path(boocode_sessions.__file__).parent
"""The clone's; under `make release`, where the tests run without it, the wheel's."""

_MINIMAL = """
import sys, boocode_sessions
from boocode_sessions import ClaudeSessionRepository, migrations
from boocode_sessions.engine import create_engine
assert boocode_sessions.__file__.startswith(sys.prefix), boocode_sessions.__file__
engine = create_engine("sqlite:///minimal.db")
migrations.upgrade(engine)
assert migrations.pending(engine) == []
repository = ClaudeSessionRepository(engine)
key = {"project_key": "p", "session_id": "s"}
repository.append(key, [{"type": "user", "uuid": "u", "text": "\\0"}])
assert repository.load(key) == [{"type": "user", "uuid": "u", "text": "\\0"}]
assert len(repository.list_sessions("p")) == 1
assert "claude_agent_sdk" not in sys.modules
assert "CREATE TABLE" in migrations.upgrade_script()
migrations.downgrade(engine)
print("fine")
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(180)
@pytest.mark.xdist_group("wheel")
def test_the_wheel_migrates_and_passes_the_contract_in_an_environment_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    (source / "README.md").touch()
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, source, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    _assert_complete(wheel, source)
    shutil.rmtree(source)

    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", f"{wheel}[binary]", cwd=tmp_path)
    assert run(python, "-c", _MINIMAL, cwd=tmp_path).strip() == "fine"

    # The SDK and pytest from the tests' own environment; what its own .pth files add stays out.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (Path(site) / "tests-environment.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    printed = run(
        python, "-m", "pytest", "-q", "-n", "0", "-k", "sqlite", "tests/contract/test_sdk_conformance.py",
        "tests/migrations/test_schema.py", cwd=tmp_path,
    )  # fmt: skip
    assert " passed" in printed


def _assert_complete(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        _assert_page(archive.read(metadata).decode())
    package = source / "boocode_sessions"
    assert names == {str(path.relative_to(source)) for path in package.rglob("*") if path.is_file()}
    assert "boocode_sessions/py.typed" in names
    assert "boocode_sessions/migrations/versions/0001_entries_and_sessions.py" in names


def _assert_page(metadata: str) -> None:
    """What PyPI shows: it has no files beside it that a relative link could lead to."""
    head, _, page = metadata.partition("\n\n")
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    repository = settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    assert f"Project-URL: Changelog, {repository}/blob/main/CHANGELOG.md\n" in head
    for name in ("docs/pictures/tour.svg", "docs/engine.md"):  # a picture, and a page
        assert any(link.startswith(repository) and f"/main/{name}" in link for link in links), name
    claimed = set(re.findall(r"Classifier: Programming Language :: Python :: (\d\.\d+)", head))
    assert claimed == {"3.11"}, "claim only what was run"
