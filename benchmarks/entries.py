"""Transcript lines as the agent writes them. Equal seeds give equal lines.

Shapes and sizes are those of real sessions: a median of 1.0 KB and a mean of 2.4 KB a line, a quarter of the
lines without a uuid. `python -m benchmarks.entries` prints the actual numbers.
"""

import json
import random
import statistics
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

Entry = dict[str, Any]

_TEXT = """
the a of to in and is that for it as was with be by on not he his but at are this have from or had an
which you were her all one there would their we him been has when who will more no if out so said what
session store append load transcript entry summary listing delete index table column row lock commit
function return value error test module import class method argument string number list request response
server client database query migration schema timeout retry batch flush writer reader résumé naïve — …
"""
_WORDS = _TEXT.split()
_CODE = (
    "def handler(request):",
    "    return response.json()",
    "import asyncio",
    "for row in rows:",
    "    assert row.id > previous",
    "SELECT id, entry FROM lines WHERE project = $1",
    'raise ValueError(f"bad key: {key!r}")',
    "class Repository:",
    "    async def append(self, key, entries):",
    "\t\tif (err != null) { throw err; }",
    "drwxr-xr-x  4 app app  4096 May  3 09:12 src",
)
_TOOLS = ("Bash", "Read", "Edit", "Grep", "Write", "Task")


def endless(seed: int) -> Iterator[Entry]:
    """Return an endless iterator over the lines of one session."""
    return iter(_Agent(seed))


def transcript(seed: int, count: int) -> list[Entry]:
    """Return the first `count` lines of a session."""
    return list(islice(endless(seed), count))


def describe(entries: Sequence[Entry]) -> str:
    """Describe the entries' number and sizes in words."""
    sizes = [len(json.dumps(entry, ensure_ascii=False).encode()) for entry in entries]
    bare = sum("uuid" not in entry for entry in entries) / len(entries)
    middle = f"median {statistics.median(sizes) / 1000:.1f} KB, mean {statistics.mean(sizes) / 1000:.1f} KB"
    return f"{len(entries):,} lines, {sum(sizes) / 1e6:.1f} MB, {middle}, {bare:.0%} without a uuid"


class _Agent:
    """Writes one session."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._session_id = self._uuid()
        self._clock = datetime(2026, 5, 1, tzinfo=UTC)
        self._parent: str | None = None
        self._tool_use: str | None = None

    def __iter__(self) -> Iterator[Entry]:
        yield {"type": "mode", "mode": "default", "sessionId": self._session_id}
        yield self._prompt()
        while True:
            if self._random.random() < 0.25:
                yield self._note()
            elif self._tool_use is not None:
                yield self._tool_result(self._tool_use)
            else:
                yield self._random.choices((self._prompt, self._reply, self._tool_call), (1, 3, 5))[0]()

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._random.getrandbits(96):024x}"

    def _size(self, median: float, spread: float) -> int:
        return int(min(self._random.lognormvariate(0, spread) * median, 60_000))

    def _prose(self, size: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=max(1, size // 6)))[:size]

    def _output(self, size: int) -> str:
        lines: list[str] = []
        while size > 0:
            lines.append(
                f"{self._random.randrange(10_000):5}\t{self._random.choice(_CODE)} {self._prose(24)}"
            )
            size -= len(lines[-1])
        return "\n".join(lines)

    def _now(self) -> str:
        self._clock += timedelta(milliseconds=self._random.randrange(3, 9000))
        return self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _line(self, kind: str, message: Entry, more: Entry) -> Entry:
        own = self._uuid()
        entry: Entry = {
            "parentUuid": self._parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/home/dev/project",
            "sessionId": self._session_id,
            "version": "2.1.98",
            "gitBranch": "main",
            "type": kind,
            "message": message,
            "uuid": own,
            "timestamp": self._now(),
            **more,
        }
        self._parent = own
        return entry

    def _prompt(self) -> Entry:
        message = {"role": "user", "content": self._prose(self._size(300, 1.0))}
        return self._line("user", message, {"permissionMode": "default"})

    def _assistant(self, block: Entry, stop_reason: str | None) -> Entry:
        message = {
            "model": "claude-opus-4-8",
            "id": self._id("msg"),
            "type": "message",
            "role": "assistant",
            "content": [block],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self._random.randrange(4, 4000),
                "cache_creation_input_tokens": self._random.randrange(0, 9000),
                "cache_read_input_tokens": self._random.randrange(9000, 90_000),
                "output_tokens": self._random.randrange(8, 2000),
                "service_tier": "standard",
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
        }
        return self._line("assistant", message, {"requestId": self._id("req")})

    def _reply(self) -> Entry:
        if self._random.random() < 0.3:
            signature = f"{self._random.getrandbits(1200):0300x}"
            thought = self._prose(self._size(400, 0.9))
            return self._assistant({"type": "thinking", "thinking": thought, "signature": signature}, None)
        return self._assistant({"type": "text", "text": self._prose(self._size(400, 1.1))}, "end_turn")

    def _tool_call(self) -> Entry:
        self._tool_use = self._id("toolu")
        arguments = {"description": self._prose(40), "command": self._output(self._size(120, 1.2))}
        tool = self._random.choice(_TOOLS)
        return self._assistant(
            {"type": "tool_use", "id": self._tool_use, "name": tool, "input": arguments}, "tool_use"
        )

    def _tool_result(self, tool_use: str) -> Entry:
        self._tool_use = None
        output = self._output(self._size(1000, 1.35))
        result = {"tool_use_id": tool_use, "type": "tool_result", "content": output, "is_error": False}
        return self._line(
            "user",
            {"role": "user", "content": [result]},
            {"toolUseResult": {"stdout": output, "stderr": "", "interrupted": False, "isImage": False}},
        )

    def _note(self) -> Entry:
        notes: tuple[Entry, ...] = (
            {"type": "mode", "mode": "default"},
            {"type": "ai-title", "aiTitle": self._prose(40)},
            {"type": "last-prompt", "lastPrompt": self._prose(120)},
            {
                "type": "queue-operation",
                "operation": "enqueue",
                "timestamp": self._now(),
                "content": self._prose(200),
            },
        )
        return {**self._random.choice(notes), "sessionId": self._session_id}


if __name__ == "__main__":
    print(describe(transcript(5, 6000)))
