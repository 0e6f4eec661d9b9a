"""`kill -9` of the program in the middle of a turn: what its store has of that turn."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.e2e.agent import ROOT, Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, echo
from tests.fixtures.databases import Database

PROMPT = "Remember the violin."


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("flush", "dialect"), [("batched", "sqlite"), ("eager", "postgresql"), ("eager", "sqlite")]
)
def test_only_an_eager_flush_keeps_a_turn_that_is_killed(
    agent: Agent, api: MessagesAPI, database: Database, engine: Engine, flush: str
) -> None:
    killed = threading.Event()

    def script(request: MessagesRequest) -> list[Block]:
        if request.answers_a_tool:
            killed.wait(40)
        return echo(request) if request.answers_a_tool else [call("Bash", command="echo played")]

    api.script = script
    environment = agent.environment()
    options = {
        "cwd": str(agent.project),
        "env": environment,
        "permission_mode": "bypassPermissions",
        "session_store_flush": flush,
    }
    config = environment["CLAUDE_CONFIG_DIR"]
    order = {"prompt": PROMPT, "url": database.url, "engine": "Engine", "config": config, "options": options}
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.one_turn"],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    repository = ClaudeSessionRepository(engine)

    def has_result(lines: str) -> bool:
        return "played" in lines and "tool_result" in lines

    def stored() -> str:
        keys = [
            {"project_key": agent.project_key, "session_id": listed["session_id"]}
            for listed in repository.list_sessions(agent.project_key)
        ]
        return json.dumps([repository.load(key) for key in keys])

    try:
        assert program.stdin is not None
        program.stdin.write(json.dumps(order))
        program.stdin.close()
        # Beside the transcripts the agent makes folders and removes them again, which a search would meet.
        transcripts = Path(config, "projects")
        wait_until(lambda: has_result("".join(path.read_text() for path in transcripts.rglob("*.jsonl"))))
        if flush == "eager":
            wait_until(lambda: has_result(stored()))
    finally:
        program.kill()
        program.wait()
        for left in list(agent.survivors()):
            left.kill()
        killed.set()

    if flush == "batched":
        assert repository.list_sessions(agent.project_key) == []
        return
    api.script = echo
    store = SQLAlchemySessionStore(engine)
    anyio.run(partial(agent.turn, "What do you remember?", store, continue_conversation=True))
    assert ("user", PROMPT) in api.requests[-1].conversation
