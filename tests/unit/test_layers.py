"""Imports point one way, as docs/architecture.md draws them."""

import ast
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import boocode_sessions

PACKAGE = Path(boocode_sessions.__file__).parent

LAYERS = [
    {
        "errors",
        "_core.background",
        "_core.distributed",
        "_core.observing",
        "_core.refused_connections",
        "_core.sql.compiled",
        "_core.sqlite_files",
    },
    {
        "_core.database_errors",
        "_core.keys",
        "_core.one_connection_pools",
        "_core.sql.functions",
    },
    {"_core.sql.types", "_core.fold", "_core.tenants"},
    {"_core.sql.json_values"},
    {"_core.sql.messages", "_core.sql.times"},
    {"_core.attributes"},
    {"_core.base"},
    {"_core.derived_models"},
    {"engine", "models", "_core.codec", "_core.deadline", "_core.psycopg_text"},
    {"_core.arguments", "_core.binds", "_core.connection"},
    {"_core.statements.parameters"},
    {
        "_core.statements.columns",
        "_core.statements.read",
        "_core.statements.standby",
    },
    {
        "_core.replica",
        "_core.schema_check",
        "_core.statements.append",
        "_core.statements.delete",
        "_core.statements.derived",
    },
    {
        "_core.statements.derived_reads",
        "_core.statements.listing",
        "_core.statements.place",
        "_core.statements.derived_writes",
    },
    {"_core.statements.search"},
    {"_core.statements.maintenance", "_core.transactions"},
    {"_core.unit_of_work"},
    {"_core.append.request", "_core.greenlets"},
    {"_core.append.in_doubt", "_core.append.key_check", "_core.append.plan"},
    {"_core.append.place"},
    {"_core.append.appender", "_core.derived", "_core.operations"},
    {"repository", "_core.append.batcher"},
    {"adoption", "jsonl", "migrations", "pages", "privacy", "retention", "sdk", "streaming", "testing"},
    {"queries", "redaction"},
    {"admin", "agents", "following", "site", "status"},
    {"cli", "telemetry"},
]
"""From the ground up: a module imports from the layers below its own only, so that there are no cycles."""

MAX_LINES = 300
"""Of a module."""

FEATURES = {
    "_core.codec",
    "_core.derived",
    "adoption",
    "agents",
    "cli",
    "jsonl",
    "migrations",
    "pages",
    "privacy",
    "queries",
    "telemetry",
    "testing",
}
"""Packages that stand in a layer as a whole."""


def module_of(path: Path) -> str:
    """A module's place in LAYERS."""
    return _place(path.relative_to(PACKAGE).with_suffix("").parts)


def _place(parts: Sequence[str]) -> str:
    name = ".".join(part for part in parts if part != "__init__")
    return next((feature for feature in FEATURES if f"{name}.".startswith(f"{feature}.")), name)


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boocode_sessions"):
            inside = (node.module or "").split(".")[1:]
            modules = [[*inside, alias.name] for alias in node.names]
            found |= {
                _place(parts if PACKAGE.joinpath(*parts).with_suffix(".py").exists() else inside or parts)
                for parts in modules
            }
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            found |= {_place(name.split(".")[1:]) for name in names if name.startswith("boocode_sessions.")}
    return found


def test_a_module_imports_only_from_the_layers_below() -> None:
    height = {module: number for number, layer in enumerate(LAYERS) for module in layer}
    wrong: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        if module in height:
            wrong += [
                f"{module} imports {other}"
                for other in imported_modules(path)
                if other != module and height.get(other, len(LAYERS)) >= height[module]
            ]
    assert wrong == []


def test_no_modules_import_each_other() -> None:
    """Inside a feature either, and not for types alone."""
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in _modules()}
    graph = {name: {*_imports(path)} & modules.keys() - {name} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def _modules() -> list[Path]:
    """All but `__init__.py`, of which the public ones gather the names of their packages."""
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_a_module_is_read_in_one_sitting() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in _modules()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_module_has_its_layer() -> None:
    known = {module for layer in LAYERS for module in layer}
    modules = {
        module_of(path) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.stat().st_size
    }
    assert modules - {"", "__main__"} == known


def importers_of(library: str) -> set[str]:
    return {
        module_of(path)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(library))
        or (isinstance(node, ast.Import) and any(a.name.startswith(library) for a in node.names))
    }


def test_only_the_fold_and_the_agents_import_the_sdk() -> None:
    assert importers_of("claude_agent_sdk") == {"_core.fold", "agents"}


def test_only_telemetry_imports_opentelemetry_and_nothing_imports_telemetry() -> None:
    assert importers_of("opentelemetry") == importers_of("boocode_sessions.telemetry") == {"telemetry"}
