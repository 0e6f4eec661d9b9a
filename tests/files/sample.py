"""A small tree of transcript files with one of everything."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey

PROJECT = "-home-someone-project"
SESSION = "0467bc32-8144-44c4-a02c-be06b16e901e"
MAIN: SessionKey = {"project_key": PROJECT, "session_id": SESSION}
AGENT: SessionKey = {**MAIN, "subpath": "subagents/workflows/wf_1/agent-a1"}
JOURNAL: SessionKey = {**MAIN, "subpath": "subagents/workflows/wf_1/journal"}

LATCH: dict[str, Any] = {"type": "atis-latch", "sessionId": SESSION}
METADATA = {"agentType": "general-purpose", "finished": True, "cost": 1e23}


def message(number: int, body: str = "", **members: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "uuid": str(uuid.UUID(int=number)),
        "timestamp": "2026-01-01T00:00:00.000Z",
        "message": {"role": "user", "content": body or f"message {number}"},
        **members,
    }


def main_entries() -> list[dict[str, Any]]:
    """Return the agent's kind of entries: equal lines without uuids, values that JSONB refuses or changes."""
    return [
        {"type": "queue-operation", "operation": "enqueue", "content": "hällo"},
        LATCH,
        message(1, "find the bug"),
        LATCH,
        message(2, "a\0b \\u0000", cost=0.00028000000000000003),
        message(3, "half \ud83d", price=1e23, zero=-0.0, big=2**80),
        LATCH,
        {"type": "last-prompt", "lastPrompt": "find the bug", "leafUuid": str(uuid.UUID(int=3))},
    ]


def line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def write(path: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(line, entries)))
    return path


def file_of(projects: Path, key: SessionKey, ending: str = ".jsonl") -> Path:
    parts = [key["session_id"], *key["subpath"].split("/")] if "subpath" in key else [key["session_id"]]
    return projects.joinpath(key["project_key"], *parts[:-1], parts[-1] + ending)


def write_tree(projects: Path) -> Path:
    """Write a session with a subagent, its metadata and a journal, and files that aren't transcripts."""
    write(file_of(projects, MAIN), main_entries())
    write(file_of(projects, AGENT), [message(11, isSidechain=True), LATCH])
    file_of(projects, AGENT, ".meta.json").write_text(json.dumps(METADATA))
    write(file_of(projects, JOURNAL), [{"type": "started"}, {"type": "result"}])
    output = projects / PROJECT / SESSION / "tool-results" / "rows.jsonl"
    output.parent.mkdir()
    output.write_text('{"a": 1}\n')
    return projects


def stored(engine: Engine) -> dict[tuple[str, str, str], list[Any]]:
    """Return everything in the database, by transcript."""
    repository = ClaudeSessionRepository(engine)
    found: dict[tuple[str, str, str], list[Any]] = {}
    with engine.connect() as connection:
        keys = connection.execute(
            text("SELECT DISTINCT project_key, session_id, subpath FROM claude_session_entries")
        ).all()
    for project, session, subpath in keys:
        key: SessionKey = {"project_key": project, "session_id": session}
        found[project, session, subpath] = (
            repository.load({**key, "subpath": subpath} if subpath else key) or []
        )
    return found


def exactly(entries: Iterable[Mapping[str, Any]] | None) -> list[str]:
    """Return a form that is equal only for equal entries, including types."""
    return [json.dumps(entry, sort_keys=True) for entry in entries or []]


def rows(engine: Engine) -> list[Any]:
    """Return every row of both tables, to check that nothing has changed."""
    with engine.connect() as connection:
        return [
            *connection.execute(text("SELECT * FROM claude_session_entries ORDER BY id")),
            *connection.execute(text("SELECT * FROM claude_sessions ORDER BY 1, 2")),
        ]
