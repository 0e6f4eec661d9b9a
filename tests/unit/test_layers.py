"""Imports point one way, as docs/architecture.md draws them."""

import ast
from pathlib import Path

import boocode_sessions

PACKAGE = Path(boocode_sessions.__file__).parent

LAYERS = [
    {"errors"},
    {"contract"},
    {"dialects"},
    {"columns"},
    {"attributes"},
    {"codec", "direct", "engine", "facts", "models", "pipelines", "summaries"},
    {"statements"},
    {"bulk", "operations"},
    {"transactions"},
    {"appends"},
    {"repository", "combining"},
    {"adoption", "jsonl", "migrations", "queries", "retention", "sdk", "streaming", "testing"},
    {"following", "status"},
    {"cli"},
]
"""From the ground up: a module imports from the layers below its own, and from its own."""


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("boocode_sessions"):
            inside = node.module.split(".")[1:2]
            found.update(inside or [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            found.update(
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("boocode_sessions.")
            )
    return found


def test_a_module_imports_only_from_its_layer_and_those_below() -> None:
    height = {module: number for number, layer in enumerate(LAYERS) for module in layer}
    wrong: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        if module in height:
            wrong += [
                f"{module} imports {other}"
                for other in imported_modules(path)
                if height.get(other, len(LAYERS)) > height[module]
            ]
    assert wrong == []


def test_every_module_has_its_layer() -> None:
    known = {module for layer in LAYERS for module in layer}
    assert {module_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"} == known


def test_only_one_module_imports_the_sdk() -> None:
    importing = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("claude_agent_sdk"))
        or (isinstance(node, ast.Import) and any(a.name.startswith("claude_agent_sdk") for a in node.names))
    }
    assert importing == {"summaries.py"}
