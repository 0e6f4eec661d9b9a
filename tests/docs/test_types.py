"""The README's Python passes type checkers in their strict modes, as a host's own code has to."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All Python of the README as one module. A snippet may `await`, and so all of it is in a function."""
    page = ROOT / "README.md"
    code = [block.code for block in blocks(page, page.read_text()) if block.language == "python"]
    assert len(code) > 3
    body = textwrap.indent("\n".join(code), "    ")
    module = tmp_path_factory.mktemp("readme") / "snippets.py"
    module.write_text(f"# pyright: reportUnusedFunction=false\nasync def readme() -> None:\n{body}")
    return module


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_readmes_snippets_pass(snippets: Path, checker: str) -> None:
    pytest.importorskip(checker, reason=f"{checker} is in the dependency group `lint`")
    if checker == "mypy":
        # One of its own: `make lint` has other options, and each would make the other begin anew.
        cache = ROOT / ".mypy_cache" / "readme"
        arguments = ["mypy", "--strict", "--config-file", "", "--cache-dir", str(cache), str(snippets)]
    else:
        (snippets.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
        arguments = ["pyright", "--project", str(snippets.parent), "--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
