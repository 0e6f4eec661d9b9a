"""The page "Ask your transcripts" does what it says: its blocks are run, and print what stands below them."""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from tests.fixtures.databases import Database
from tests.queries.lines import answer, entries, key, prompt, result, tool_use

PAGE = Path(__file__).parents[2] / "docs" / "ask-your-transcripts.md"
SESSION = "0467bc32-8144-44c4-a02c-be06b16e901e"


@pytest.fixture
def stored(engine: Engine) -> None:
    cached = {"cache_read_input_tokens": 800, "cache_creation_input_tokens": 500}
    first, half, whole = ({"input_tokens": 10, "output_tokens": out} | cached for out in (25, 1, 100))
    ClaudeSessionRepository(engine).append(
        key(SESSION),
        entries(
            prompt("u1", "Please tidy the parser", gitBranch="main"),
            answer("a1", tool_use("t1"), parent="u1", call="m1", usage=first, seconds=1, gitBranch="main"),
            result("r1", "t1", parent="a1", seconds=3.5, error=True),
            answer("a2", parent="r1", call="m2", usage=half, seconds=4, isSidechain=True),
            answer("a3", "It is a state machine now", parent="r1", call="m2", usage=whole, seconds=5),
            {"type": "ai-title", "aiTitle": "Tidy the parser"},
        ),
    )


@pytest.mark.usefixtures("stored")
def test_the_page_prints_what_it_says(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.DOTALL)
    assert len(blocks) > 7
    namespace: dict[str, Any] = {}
    try:
        run_blocks(blocks, namespace, database, capsys)
    finally:
        namespace["engine"].dispose()


def run_blocks(
    blocks: list[tuple[str, str]],
    namespace: dict[str, Any],
    database: Database,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for code, printed in blocks:
        here = code.replace("sqlite+aiosqlite:///sessions.db", database.async_url)
        here = here.replace("sqlite:///sessions.db", database.url)
        here = here.replace("datetime.now(UTC)", "datetime(2026, 11, 24, tzinfo=UTC)")  # near the lines' time
        run = eval(compile(here, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)  # noqa: S307 - our own page
        if inspect.iscoroutine(run):
            asyncio.run(run)
        assert capsys.readouterr().out == printed, code
