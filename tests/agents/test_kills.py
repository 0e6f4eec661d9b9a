"""Agents and hosts are killed at any moment: what was acknowledged is stored once, in order; nothing is left.

SOAK=20 makes it 500 turns over 20 chats.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.agents import ClaudeAgentSession
from tests.e2e.agent import ROOT, Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.fixtures.databases import Database, on_postgresql
from tests.reliability.counts import COUNTS

pytestmark = pytest.mark.xdist_group("agents")

SOAK = int(os.environ.get("SOAK", "1"))
CHATS, TURNS = (2, 2) if SOAK == 1 else (SOAK, 25)


class Host:
    """A process that runs a backend."""

    def __init__(
        self,
        database: Database,
        agent: Agent,
        prompts: list[tuple[str, str]],
        temporary: Path | None = None,
    ) -> None:
        order = {
            "url": database.url,
            "cwd": str(agent.project),
            "env": agent.environment(),
            "prompts": prompts,
            "max_warm": CHATS,
        }
        self.acknowledged: list[tuple[str, str]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.agents.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
            env=os.environ | ({"TMPDIR": str(temporary)} if temporary else {}),
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.acknowledged.append(tuple(json.loads(line)))

    def wait(self, seconds: float = 120) -> None:
        self.process.wait(seconds)
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.wait()


def prompts_of(engine: Engine, agent: Agent) -> dict[str, list[str]]:
    """What the database says that each chat's user has said, in its order."""
    with Session(engine) as db:
        rows = db.scalars(select(ClaudeAgentSession)).all()
    said: dict[str, list[str]] = {}
    repository = ClaudeSessionRepository(engine)
    for row in rows:
        entries: Any = repository.load({"project_key": agent.project_key, "session_id": row.session_id}) or []
        uuids = [entry["uuid"] for entry in entries if "uuid" in entry]
        assert len(uuids) == len(set(uuids)), "an entry is stored twice"
        contents = [entry["message"]["content"] for entry in entries if entry["type"] == "user"]
        said[row.chat_id] = [
            content for content in contents if isinstance(content, str) and content.startswith("P")
        ]
    return said


def in_order(wanted: list[str], there: list[str]) -> bool:
    rest: Iterator[str] = iter(there)
    return all(prompt in rest for prompt in wanted)


def nothing_left(agent: Agent, seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while (left := list(agent.survivors())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_turns_survive_kills_of_agents_and_hosts(database: Database, engine: Engine, agent: Agent) -> None:
    chooser = random.Random(7)
    left = {f"chat {number}": [f"Prompt {turn}" for turn in range(TURNS)] for number in range(CHATS)}
    acknowledged: list[tuple[str, str]] = []
    deadline = time.monotonic() + 110 * SOAK
    killed = hosts = 0
    while any(left.values()):
        host = Host(database, agent, [(chat, prompt) for chat, rest in left.items() for prompt in rest])
        # Turns, until it is killed; the first in the midst of them, so that one is for sure.
        lives = chooser.randint(1, CHATS * TURNS // 6 + 2) if hosts else 1
        kills_next = 1
        while host.process.poll() is None and len(host.acknowledged) < lives:
            assert time.monotonic() < deadline, (left, acknowledged)
            time.sleep(0.05)
            if len(host.acknowledged) >= kills_next and (running := list(agent.survivors())):
                kills_next += CHATS
                with suppress(psutil.NoSuchProcess):
                    chooser.choice(running).kill()
                    killed += 1
        time.sleep(chooser.uniform(0, 1) if hosts else 0)
        hosts += host.process.poll() is None
        host.end(signal.SIGKILL)
        assert nothing_left(agent, 15) == []
        acknowledged += host.acknowledged
        for chat, prompt in host.acknowledged:
            left[chat].remove(prompt)
    assert killed
    assert hosts
    stored = prompts_of(engine, agent)
    for chat in left:
        mine = [prompt for name, prompt in acknowledged if name == chat]
        assert mine == [f"Prompt {turn}" for turn in range(TURNS)]
        assert in_order(mine, stored[chat])
    COUNTS["turns of agents acknowledged, all stored once and in order"] += len(acknowledged)
    COUNTS["agents killed amid them"] += killed
    COUNTS["hosts killed amid them"] += hosts


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_hosts_that_are_ended_in_the_middle_of_a_turn_leave_no_process_and_no_transcript(
    database: Database, agent: Agent, api: MessagesAPI, tmp_path: Path
) -> None:
    """At once, since each takes seconds: terminated, killed, interrupted. Each has resumed its chat, in a
    folder that the SDK makes."""
    numbers = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    Host(database, agent, [(f"chat {number}", "Prompt 0") for number in numbers]).wait()

    def script(_request: MessagesRequest) -> list[Block]:
        return [call("Bash", command="touch ran-$$; for i in $(seq 300); do sleep 0.1; done")]

    api.script = script
    hosts = [Host(database, agent, [(f"chat {number}", "Prompt 1")], temporary) for number in numbers]
    deadline = time.monotonic() + 60
    while len(list(agent.project.glob("ran-*"))) < len(hosts):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(list(agent.survivors())) >= 2 * len(hosts)  # the agents, and what their tools run
    assert len(list(temporary.glob("claude-resume-*"))) == len(hosts)
    for host, number in zip(hosts, numbers, strict=True):
        host.process.send_signal(number)
    for host in hosts:
        host.wait()
    assert nothing_left(agent, 15) == []
    deadline = time.monotonic() + 15
    while list(temporary.glob("claude-resume-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@on_postgresql
def test_a_host_that_was_paused_past_its_lease_writes_nothing_more(
    database: Database, engine: Engine, agent: Agent, api: MessagesAPI
) -> None:
    """As a machine that swaps, or a container that is frozen. The other host has gone on meanwhile."""
    asked, late = threading.Event(), threading.Event()

    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Prompt 1" and not asked.is_set():
            asked.set()
            late.wait(60)
            return [say("too late")]
        return [say("Done.")]

    api.script = script
    paused = Host(database, agent, [("chat", "Prompt 1")])
    assert asked.wait(60)
    deadline = time.monotonic() + 20
    while prompts_of(engine, agent) != {"chat": ["Prompt 1"]}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    paused.process.send_signal(signal.SIGSTOP)
    other = Host(database, agent, [("chat", "Prompt 2")])  # asks until the lease has run out
    other.wait()
    assert other.acknowledged == [("chat", "Prompt 2")]
    late.set()
    paused.process.send_signal(signal.SIGCONT)
    paused.wait()  # it has sent its prompt again, in a new agent that knows what was said meanwhile
    assert paused.acknowledged == [("chat", "Prompt 1")]
    assert prompts_of(engine, agent) == {"chat": ["Prompt 1", "Prompt 2", "Prompt 1"]}
    with Session(engine) as db:
        row = db.scalars(select(ClaudeAgentSession)).one()
    stored = ClaudeSessionRepository(engine).load(
        {"project_key": agent.project_key, "session_id": row.session_id}
    )
    assert "too late" not in repr(stored)
    assert (row.fencing_token, row.turns, row.state) == (3, 2, "idle")
    assert nothing_left(agent, 15) == []
