"""The site of docs/ names every page, and every module of the reference is there."""

import importlib
import re

import pytest

from tests.docs.pages import ROOT

DOCS = ROOT / "docs"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert named == written | {"index.md"}


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_the_reference_names_modules_that_are_there(page: object) -> None:
    modules = re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)  # type: ignore[attr-defined]
    assert modules
    for module in modules:
        assert importlib.import_module(module).__doc__
