"""The threat model names tests that there are."""

import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert [name for name in sorted(named) if f"def {name}(" not in code] == []


def test_every_file_that_it_names_is_there() -> None:
    paths = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    paths |= {f"tests/attacks/{name}" for name in re.findall(r"`(test_\w+\.py)`", PAGE)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
