"""docs/engine.md: its engines are made as it says, and work."""

import re
from pathlib import Path
from typing import Any

import pytest

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.engine import SERVER_TIMEOUTS, postgresql_arguments
from tests.fixtures.databases import Database

PAGE = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
SNIPPETS = [
    snippet
    for snippet in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    if re.search(r"^engine = create_engine\(", snippet, re.MULTILINE)
]
"""Of PostgreSQL, behind a pooler, and of SQLite."""

KEY: SessionKey = {"project_key": "page", "session_id": "s"}


def run(snippet: str, **names: str) -> None:
    namespace: dict[str, Any] = dict(names)
    exec(compile(snippet, "docs/engine.md", "exec"), namespace)  # noqa: S102 - our own page
    repository = ClaudeSessionRepository(namespace["engine"])
    for _ in range(12):
        repository.append(KEY, [{"type": "user", "uuid": "u"}])
    assert repository.load(KEY) == [{"type": "user", "uuid": "u"}]
    namespace["engine"].dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_the_engine_for_postgresql(database: Database) -> None:
    run(SNIPPETS[0], url=database.url)
    for name, value in SERVER_TIMEOUTS.items():
        assert f"-c {name}={value}" in SNIPPETS[0], "the page has other limits than our engines"
    for name, value in postgresql_arguments().items():
        assert name == "keepalives" or f'"{name}": {value},' in SNIPPETS[0]


def test_the_engine_behind_a_pooler(pooled_database: Database) -> None:
    run(SNIPPETS[1], pooled_url=pooled_database.url)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_the_engine_for_sqlite(database: Database) -> None:
    run(SNIPPETS[2], sqlite_url=database.url)
