"""The guides' lines run, in the order in which they stand."""

import re
from pathlib import Path

import pytest

from tests.files.sample import write_tree

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["import-export", "retention"])
def test_the_guides_lines_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / ".claude" / "projects")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)  # noqa: S102 - what a reader would run
    names["engine"].dispose()  # type: ignore[attr-defined]
