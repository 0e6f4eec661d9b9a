"""Every Python and shell snippet of README.md and docs/ runs.

A page's blocks run in order, in one namespace and one empty folder. BOOCODE_SESSIONS_URL names a migrated
SQLite database of its own, `~/.claude/projects` holds the demo's three sessions, `boocode-sessions` is on the
PATH. `await` works at the top level.
A block is left out only by the comment `<!-- not run: the reason -->` right before it, or
`<!-- run by tests/....py -->` where a test of its own runs it; a whole page by
`<!-- this page is run by tests/....py -->`.
"""

import ast
import asyncio
import gc
import inspect
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions.cli.demo import fill
from boocode_sessions.jsonl import export_tree
from tests.docs.pages import (
    ROOT,
    Block,
    MarkerError,
    blocks,
    closing_connections,
    pages,
    runs_elsewhere,
)
from tests.fixtures.databases import Database, Databases


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_pages_snippets_run(
    page: Path, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [block for block in blocks(page, page.read_text()) if block.runs]
    if not running or runs_elsewhere(page.read_text()):
        return
    monkeypatch.setenv("HOME", str(_home(databases.migrated("sqlite"), tmp_path)))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BOOCODE_SESSIONS_URL", databases.migrated("sqlite").url)
    monkeypatch.setenv("PATH", f"{_programs(tmp_path)}{os.pathsep}{os.environ['PATH']}")
    namespace: dict[str, Any] = {"__name__": page.stem}
    with closing_connections(), asyncio.Runner() as runner:
        for block in running:
            if block.language == "python":
                _run_python(block, namespace, runner)
            else:
                _run_shell(block)
        for value in namespace.values():
            if isinstance(value, AsyncEngine):
                runner.run(value.dispose())
    namespace.clear()
    gc.collect()


def test_every_marker_says_why() -> None:
    for page in pages():
        for block in blocks(page, page.read_text()):
            assert block.runs in {True, False}


def _block(text: str) -> Block:
    (block,) = blocks(Path("page.md"), text)
    return block


def test_a_snippet_runs_unless_a_marker_gives_a_reason() -> None:
    assert _block("text\n\n```python\nx = 1\n```\n").runs
    assert _block("<!-- some other comment -->\n\n```python\nx = 1\n```\n").runs
    assert not _block("<!-- not run: needs a server of yours -->\n```python\nx = 1\n```\n").runs
    assert not _block("<!-- run by tests/docs/test_snippets.py, itself -->\n```python\nx = 1\n```\n").runs


@pytest.mark.parametrize("marker", ["not run", "not run:", "not run: why", "run by tests/none.py", "skip"])
def test_a_marker_without_a_reason_is_refused(marker: str) -> None:
    with pytest.raises(MarkerError):
        assert _block(f"<!-- {marker} -->\n```python\nx = 1\n```\n").runs


def test_shell_runs_unless_a_marker_gives_a_reason() -> None:
    assert _block("```sh\nmake\n```\n").runs
    assert not _block("<!-- not run: it changes the machine -->\n```sh\nmake\n```\n").runs


def test_a_failing_snippet_names_its_page_and_line() -> None:
    block = _block("# Title\n\n```python\nx = 1\nraise ValueError\n```\n")
    with asyncio.Runner() as runner, pytest.raises(ValueError) as failure:  # noqa: PT011 - its place matters
        _run_python(block, {}, runner)
    assert (str(failure.traceback[-1].path), failure.traceback[-1].lineno) == ("page.md", 4)


def _run_python(block: Block, namespace: dict[str, Any], runner: asyncio.Runner) -> None:
    padded = "\n" * (block.line - 1) + block.code
    code = compile(padded, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, namespace)  # noqa: S307 - the project's own documentation
    if inspect.isawaitable(done):

        async def wait() -> None:
            await done

        runner.run(wait())


def _run_shell(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        pytest.fail(
            f"{block.page}:{block.line} ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        )


def _home(database: Database, folder: Path) -> Path:
    """A home with transcripts in it: a page must not read those of whoever runs the tests."""
    engine = database.engine()
    fill(engine, datetime.now(UTC))
    export_tree(engine, folder / "home" / ".claude" / "projects")
    engine.dispose()
    return folder / "home"


def _programs(folder: Path) -> Path:
    """`boocode-sessions` of this source tree, installed or not."""
    program = folder / ".bin" / "boocode-sessions"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m boocode_sessions "$@"\n')
    program.chmod(0o755)
    return program.parent
