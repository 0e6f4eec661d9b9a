"""A tree of transcripts to query: sessions with the shapes and about the sizes of real ones."""

import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PER_SESSION = 1000
DAYS = 90
END = datetime(2026, 11, 20, tzinfo=UTC)
TOOLS = ("Bash", "Read", "Edit", "Grep")


class Agent:
    """Writes sessions. Equal numbers give equal lines."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        # Word frequencies are like those of a language: w0 is in a third of all messages.
        words = [f"w{int(20_000 * self._random.random() ** 3)}" for _ in range(400_000)]
        self._prose = [" ".join(words[i * 70 : i * 70 + 20 + i % 80]) for i in range(5000)]

    def session(self, number: int, began: datetime) -> Iterator[dict[str, Any]]:
        session_id, parent = str(uuid.UUID(int=number)), None
        for i in range(PER_SESSION):
            one, two, three = (self._random.choice(self._prose) for _ in range(3))
            if i % 10 == 9:
                yield {"type": "last-prompt", "lastPrompt": one[:80], "sessionId": session_id}
                continue
            line: dict[str, Any] = {
                "uuid": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                "parentUuid": parent,
                "sessionId": session_id,
                "isSidechain": False,
                "cwd": "/home/me/project",
                "gitBranch": "main",
                "version": "2.1.330",
                "userType": "external",
                "timestamp": f"{began + timedelta(seconds=20 * i):%Y-%m-%dT%H:%M:%S}.000Z",
            }
            parent = line["uuid"]
            yield line | self._said(number, i, one, two + three)

    def _said(self, number: int, i: int, short: str, long: str) -> dict[str, Any]:
        call = hashlib.sha256(f"{number}.{i // 5}".encode()).hexdigest()[:22]
        match i % 10:
            case 0:
                return {"type": "user", "message": {"role": "user", "content": short}}
            case 1 | 5:
                return _answer(number, i, call, {"type": "text", "text": short})
            case 2 | 6:
                block = {"type": "tool_use", "id": f"toolu_01{call}", "name": TOOLS[i // 5 % 4]}
                return _answer(number, i, call, block | {"input": {"command": short[:200]}})
            case 3 | 7:
                block = {"type": "tool_result", "tool_use_id": f"toolu_01{call}", "content": long}
                message = {"role": "user", "content": [block | {"is_error": i % 50 == 3}]}
                return {"type": "user", "message": message, "toolUseResult": {"stdout": long, "stderr": ""}}
            case _:
                content = long * (7 + i % 5)
                return {"type": "attachment", "attachment": {"type": "skill_listing", "content": content}}


def _answer(number: int, i: int, call: str, block: dict[str, Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": 10,
        "output_tokens": 20 * (i // 5 % 5),
        "cache_read_input_tokens": 1000 + i // 5,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_1h_input_tokens": 100, "ephemeral_5m_input_tokens": 200},
        "service_tier": "standard",
    }
    message = {
        "id": f"msg_01{call}",
        "type": "message",
        "role": "assistant",
        "model": f"claude-opus-5-{number % 3}",
        "content": [block],
        "stop_reason": "tool_use",
        "usage": usage,
    }
    return {"type": "assistant", "requestId": f"req_01{call}", "message": message}


def write_tree(tree: Path, entries: int) -> int:
    """Write the sessions in the agent's layout. Return the number of bytes."""
    sessions, agent, size = entries // PER_SESSION, Agent(), 0
    for number in range(sessions):
        began = END - timedelta(days=DAYS) * (1 - number / sessions)
        path = tree / "projects" / f"-home-me-project-{number % 20}" / f"{uuid.UUID(int=number)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(line, separators=(",", ":")) for line in agent.session(number, began)]
        size += path.write_text("\n".join(lines) + "\n")
    print(f"{sessions * PER_SESSION:,} entries in {sessions:,} sessions, {size / 1e6:,.0f} MB", flush=True)
    return size
