"""The README's first lines with the SDK run as they stand there, but over the test's engine."""

import re
import textwrap
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from tests.e2e.agent import ROOT, Agent

pytestmark = pytest.mark.anyio


def snippet() -> str:
    """The block that the README's marker gives to this test, as the body of a function."""
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- run by tests/e2e/test_readme\.py.*?-->\s*```python\n(.*?)```", readme, re.DOTALL)
    assert found, "the README's block for this test is gone"
    code, replaced = re.subn(r'create_engine\("[^"]*"\)', "own_engine", found[1])
    assert replaced == 1
    return f"async def main():\n{textwrap.indent(code, '    ')}\n"


async def test_the_readmes_first_lines_mirror_a_turn(
    agent: Agent, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace: dict[str, Any] = {"own_engine": engine}
    exec(snippet(), namespace)  # noqa: S102 - our own README
    with monkeypatch.context() as of_the_agent:
        for name, value in agent.environment().items():
            of_the_agent.setenv(name, value)
        of_the_agent.chdir(agent.project)
        await namespace["main"]()

    repository = ClaudeSessionRepository(engine)
    (session,) = repository.list_sessions(agent.project_key)
    entries = repository.load({"project_key": agent.project_key, "session_id": session["session_id"]})
    assert any(entry["type"] == "assistant" for entry in entries or [])
