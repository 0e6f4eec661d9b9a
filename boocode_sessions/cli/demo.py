"""Shows a tour on a database of its own, with invented sessions."""

import shlex
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Engine

from boocode_sessions import migrations
from boocode_sessions._core.keys import SessionKey
from boocode_sessions.cli import counting, finding, reading
from boocode_sessions.cli.database import Database, file_url, readable
from boocode_sessions.cli.screen import say, screen_of
from boocode_sessions.engine import create_engine
from boocode_sessions.repository import ClaudeSessionRepository

PROJECT = "-home-you-weather"
MODEL = "claude-opus-5-5"


def run(file: Path | None) -> None:
    """Show the tour. Its database is kept in `file`, if one is given."""
    with tempfile.TemporaryDirectory(prefix="boocode-sessions-") as folder:
        path = file or Path(folder) / "demo.db"
        engine = create_engine(file_url(path))
        try:
            _tour(Database(engine, None))
        finally:
            engine.dispose()
    if file is None:
        say("The demo's database is gone again. To keep one: boocode-sessions demo demo.db")
    else:
        say(f"Go on with it: boocode-sessions --url {shlex.quote(readable(file_url(file)))} list")
    say("Your own transcripts: boocode-sessions upgrade, then boocode-sessions import")


def fill(engine: Engine, now: datetime) -> None:
    """Store the demo's sessions, as the agent would have written them in the days before `now`."""
    repository = ClaudeSessionRepository(engine)
    for number, (days, tell) in enumerate(((6, _umbrella), (2, _tests), (0, _storm))):
        session_id = str(uuid5(NAMESPACE_URL, f"boocode-sessions demo {number}"))
        story = _Story(session_id, now - timedelta(days=days, minutes=12))
        tell(story)
        key: SessionKey = {"project_key": PROJECT, "session_id": session_id}
        repository.append(key, story.main)
        for subpath, entries in story.subagents.items():
            repository.append({**key, "subpath": subpath}, entries)


def _tour(database: Database) -> None:
    def step(command: str) -> None:
        screen_of().write((f"\n$ boocode-sessions {command}", "bold"))

    step("upgrade")
    migrations.upgrade(database.engine)
    fill(database.engine, datetime.now(UTC))
    screen_of().write(("The tables are made, and hold three sessions.", ""))
    step("list")
    finding.list_(database)
    step("show")
    reading.show(database)
    step("search umbrella")
    finding.search(database, words=["umbrella"])
    step("usage --by model")
    counting.usage(database, by=[counting.By.model])
    step("tools")
    counting.tools(database)


class _Story:
    """Builds one invented session."""

    def __init__(self, session_id: str, begins: datetime) -> None:
        self.session_id = session_id
        self.main: list[Any] = []
        self.subagents: dict[str, list[Any]] = {}
        self._at = begins
        self._numbers: Iterator[int] = iter(range(1_000))
        self._entries = self.main
        self._parent: str | None = None

    def user(self, text: str) -> None:
        self._add("user", {"role": "user", "content": text}, seconds=20)

    def claude(self, text: str) -> None:
        self._say([{"type": "text", "text": text}])

    def tool(
        self,
        name: str,
        given: dict[str, Any],
        result: str,
        *,
        seconds: int = 2,
        failed: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        call = f"toolu_{self.session_id[:8]}_{next(self._numbers)}"
        self._say([{"type": "tool_use", "id": call, "name": name, "input": given}])
        meanwhile()
        answer = {"type": "tool_result", "tool_use_id": call, "content": result, "is_error": failed}
        self._add("user", {"role": "user", "content": [answer]}, seconds=seconds)

    def subagent(self, subpath: str, tell: "Callable[[_Story], None]") -> None:
        main, parent = self._entries, self._parent
        self._entries, self._parent = self.subagents.setdefault(subpath, []), None
        tell(self)
        self._entries, self._parent = main, parent

    def title(self, text: str) -> None:
        self._entries.append({"type": "custom-title", "customTitle": text, **self._named()})

    def _say(self, content: list[dict[str, Any]]) -> None:
        number = next(self._numbers)
        usage = {
            "input_tokens": 12 + number,
            "cache_creation_input_tokens": 900 + 40 * number,
            "cache_read_input_tokens": 14_000 + 700 * number,
            "output_tokens": 90 + 17 * number,
        }
        message = {
            "id": f"msg_{self.session_id[:8]}_{number}",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": content,
            "stop_reason": "tool_use" if content[0]["type"] == "tool_use" else "end_turn",
            "usage": usage,
        }
        self._add("assistant", message, seconds=4)

    def _add(self, kind: str, message: dict[str, Any], *, seconds: int) -> None:
        self._at += timedelta(seconds=seconds)
        named = self._named()
        self._entries.append(
            {
                "parentUuid": self._parent,
                "isSidechain": self._entries is not self.main,
                "type": kind,
                "message": message,
                **named,
                "cwd": "/home/you/weather",
                "gitBranch": "main",
                "version": "2.1.330",
            }
        )
        self._parent = named["uuid"]

    def _named(self) -> dict[str, str]:
        number = next(self._numbers)
        return {
            "uuid": str(uuid5(NAMESPACE_URL, f"{self.session_id} {number}")),
            "timestamp": self._at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sessionId": self.session_id,
        }


def _umbrella(story: _Story) -> None:
    story.user("Is it going to rain in Lisbon tomorrow?")
    story.tool("WebSearch", {"query": "weather Lisbon tomorrow"}, "Showers from noon, 70 %.")
    story.claude("Yes: showers from noon on. **Take an umbrella.**")


def _tests(story: _Story) -> None:
    story.user("The forecast test fails. Why?")
    story.tool(
        "Bash",
        {"command": "pytest -q tests/test_forecast.py"},
        "1 failed: KeyError: 'wind'",
        seconds=9,
        failed=True,
    )
    story.tool("Read", {"file_path": "weather/forecast.py"}, "def parse(reply):\n    return reply['wind']")
    story.tool("Edit", {"file_path": "weather/forecast.py"}, "The file was updated.", seconds=1)
    story.tool("Bash", {"command": "pytest -q tests/test_forecast.py"}, "3 passed", seconds=8)
    story.claude("A reply without wind broke `parse`. It now takes calm for granted, and the tests pass.")
    story.title("Forecast test without wind")


def _storm(story: _Story) -> None:
    story.user("Which stations missed the storm last night? An umbrella is no help any more.")

    def look(inner: _Story) -> None:
        inner.user("Look through the stations' logs for gaps between 22:00 and 04:00.")
        inner.tool("Grep", {"pattern": "no reading", "path": "logs/"}, "logs/porto.log: 41\nlogs/faro.log: 2")
        inner.claude("Porto has a gap of three hours, Faro of ten minutes.")

    story.tool(
        "Agent",
        {"description": "Look for gaps", "prompt": "Look through the stations' logs."},
        "Porto has a gap of three hours, Faro of ten minutes.",
        meanwhile=lambda: story.subagent("subagents/agent-logs", look),
    )
    story.claude(
        "Two stations did:\n\n- **Porto**, for three hours\n- **Faro**, for ten minutes\n\n"
        "Porto needs a new battery."
    )
