"""What people read their transcripts with takes an exported tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.jsonl import export_tree
from tests.files.sample import MAIN, PROJECT, SESSION, file_of

FOLDER_VARIABLE = "BOOCODE_SESSIONS_TEST_RENDERERS"
"""The `bin` folder of an environment of their own: they bring many packages."""


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get(FOLDER_VARIABLE) or str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed: pip install it, and set {FOLDER_VARIABLE} to its bin folder")
    return found


@pytest.fixture
def exported(engine: Engine, tmp_path: Path) -> Path:
    parent: str | None = None
    entries = []
    said = [("user", "Where is the needle?"), ("assistant", "In the haystack.")]
    for number, (role, words) in enumerate(said):
        uuid = f"0000000{number}-0000-4000-8000-000000000000"
        entries.append(
            {
                "parentUuid": parent,
                "isSidechain": False,
                "userType": "external",
                "cwd": "/home/someone/project",
                "sessionId": SESSION,
                "version": "2.1.330",
                "gitBranch": "main",
                "type": role,
                "message": {
                    "role": role,
                    "content": [{"type": "text", "text": words}],
                    **({"id": "msg_1", "type": "message", "model": "claude"} if role == "assistant" else {}),
                },
                "uuid": uuid,
                "timestamp": f"2026-01-01T00:00:0{number}.000Z",
            }
        )
        parent = uuid
    ClaudeSessionRepository(engine).append(MAIN, entries)
    export_tree(engine, tmp_path / "projects")
    return tmp_path / "projects"


def test_claude_code_log_renders_an_exported_tree(exported: Path) -> None:
    subprocess.run(
        [program("claude-code-log"), str(exported / PROJECT)],
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(exported.parent)},
        capture_output=True,
    )
    page = (exported / PROJECT / "combined_transcripts.html").read_text()
    assert "Where is the needle?" in page
    assert "In the haystack." in page


def test_claude_code_transcripts_renders_an_exported_session(exported: Path) -> None:
    target = exported.parent / "html"
    subprocess.run(
        [program("claude-code-transcripts"), "json", str(file_of(exported, MAIN)), "-o", str(target)],
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(exported.parent)},
        capture_output=True,
    )
    page = "".join(path.read_text() for path in target.glob("*.html"))
    assert "Where is the needle?" in page
    assert "In the haystack." in page
