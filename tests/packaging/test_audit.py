"""`make audit` says what it could not ask: no package without an answer counts as one without holes."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / ".ci" / "audit.py"
SKIPPED = {"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited"}
"""As pip-audit has it where the index answers 404, as one without vulnerabilities does."""
SOUND = {"name": "alembic", "version": "1.14.0", "vulns": []}
HOLED: dict[str, Any] = {
    "name": "requests",
    "version": "2.19.0",
    "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"], "aliases": [], "description": "..."}],
}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([SOUND], 0, ["0 known holes, 1 packages asked"]),
        ([SOUND, HOLED], 1, ["1 known holes, 2 packages asked", "requests 2.19.0: PYSEC-2018-28"]),
        ([SOUND, SKIPPED], 2, ["0 known holes, 1 packages asked", "does not know jinja2"]),
        ([HOLED, SKIPPED], 1, ["1 known holes, 1 packages asked", "PYSEC-2018-28", "does not know jinja2"]),
        ([SKIPPED, SKIPPED], 2, ["can't be asked from here"]),
        ([], 2, ["can't be asked from here"]),
    ],
)
def test_it_tells_what_was_asked(packages: list[Any], status: int, said: list[str]) -> None:
    got, lines = tell(json.dumps({"dependencies": packages, "fixes": []}))
    assert got == status
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))


def test_no_answer_is_none() -> None:
    assert tell("")[0] == 2


def tell(answer: str) -> tuple[int, list[str]]:
    spec = importlib.util.spec_from_file_location("audit", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    told: tuple[int, list[str]] = program.tell("what is installed", answer)
    return told
