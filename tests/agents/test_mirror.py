"""A mirror that fails loses nothing: the lines come from the agent's own file, each once, in their order."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.agents import AgentEvent, MirrorFailed, MirrorRepaired, TurnEnded
from boocode_sessions.agents.transcripts import NOT_MIRRORED
from boocode_sessions.engine import create_engine
from tests.agents.conftest import MakeBackend, Options, told
from tests.agents.test_turns import row
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.fixtures.databases import Database, on_postgresql, on_sqlite
from tests.reliability.proxy import Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient_sdk")]

CANARY = "yellow-bird-7731"


class Table:
    """The table of entries, which can be away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._away = False

    def _rename(self, before: str, after: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    def take_away(self) -> None:
        if not self._away:
            self._away = True
            self._rename("claude_session_entries", "entries_away")

    def bring_back(self) -> None:
        if self._away:
            self._away = False
            self._rename("entries_away", "claude_session_entries")


@pytest.fixture
def table(engine: Engine) -> Table:
    return Table(engine)


@contextmanager
def stored_is_whole(engine: Engine, agent: Agent, config: Path) -> Iterator[None]:
    """What the database has in the end is what the agent's own file has, line for line."""
    yield
    session_id = row(engine).session_id
    file = config / "projects" / agent.project_key / f"{session_id}.jsonl"
    written = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [line for line in written if line["type"] not in NOT_MIRRORED]
    stored: list[Any] = list(
        ClaudeSessionRepository(engine).load({"project_key": agent.project_key, "session_id": session_id})
        or []
    )
    assert stored == kept[: len(stored)]
    assert {line["type"] for line in kept[len(stored) :]} <= {"last-prompt"}  # written when the process ends


def kinds(events: list[AgentEvent]) -> list[str]:
    return [type(event).__name__ for event in events if isinstance(event, MirrorFailed | MirrorRepaired)]


@on_postgresql
async def test_lines_that_the_database_refused_in_the_middle_of_a_turn_are_there_when_it_ends(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, agent: Agent, options: Options, table: Table
) -> None:
    given_up = threading.Event()

    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Go.":
            table.take_away()
            return [call("Bash", command=f"echo {CANARY}")]
        given_up.wait(20)
        table.bring_back()
        return [say("Done.")]

    api.script = lambda request: [say("Hello.")] if request.prompt == "Hello." else script(request)
    env = options().env
    with stored_is_whole(engine, agent, Path(env["CLAUDE_CONFIG_DIR"])):
        async with make_backend(options={"env": env}) as backend:
            await told(backend, "chat", "Hello.")
            events: list[AgentEvent] = []
            async for event in backend.send("chat", "Go."):
                events.append(event)
                if isinstance(event, MirrorFailed):
                    given_up.set()
            told_of = [event for event in events if isinstance(event, MirrorFailed)]
            assert told_of, [type(event).__name__ for event in events]
            assert told_of[0].session_id == row(engine).session_id
            assert CANARY not in told_of[0].error
            assert sum(event.lines for event in events if isinstance(event, MirrorRepaired)) > 0
            assert isinstance(events[-1], TurnEnded)
            assert (events[-1].reason, events[-1].stored) == ("completed", True)
            assert not row(engine).incomplete
    async with make_backend() as other:
        await told(other, "chat", "And now?")
    assert ("user", "Hello.") in api.last.conversation
    assert ("user", CANARY) in api.last.conversation


@on_sqlite
async def test_a_database_that_comes_back_after_the_turn_gets_all_of_it(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, agent: Agent, options: Options, table: Table
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Go.":
            table.take_away()
            return [call("Bash", command=f"echo {CANARY}")]
        return [say("Done.")]

    api.script = script
    env = options().env
    heard: list[AgentEvent] = []
    with stored_is_whole(engine, agent, Path(env["CLAUDE_CONFIG_DIR"])):
        async with make_backend(
            options={"env": env}, on_background=lambda _chat, _agent, event: heard.append(event)
        ) as backend:
            events = await told(backend, "chat", "Go.")
            assert kinds(events) == ["MirrorFailed"]
            assert isinstance(events[-1], TurnEnded)
            assert (events[-1].reason, events[-1].stored) == ("completed", False)
            assert row(engine).incomplete
            table.bring_back()
            await told(backend, "chat", "And now?")
            assert not row(engine).incomplete
    assert ("user", CANARY) in api.last.conversation


@on_postgresql
async def test_a_database_that_does_not_come_back_leaves_the_file_for_a_repair(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, agent: Agent, options: Options, table: Table
) -> None:
    """After a resume the agent's file lies in a folder that the SDK removes: it is copied elsewhere."""
    env = options().env
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
    api.script = lambda request: (
        [call("Bash", command="echo it")] if request.prompt == "Go." else [say("Done.")]
    )
    async with make_backend(options={"env": env}) as backend:
        stream = backend.send("chat", "Go.")
        events: list[AgentEvent] = []
        async for event in stream:
            events.append(event)
            if type(event).__name__ == "ToolStarted":
                table.take_away()
    table.bring_back()
    assert isinstance(events[-1], TurnEnded)
    assert not events[-1].stored
    kept = Path(env["CLAUDE_CONFIG_DIR"], "projects", agent.project_key, f"{row(engine).session_id}.jsonl")
    assert "Done." in await anyio.Path(kept).read_text()


def _refuse() -> socket.socket:
    raise ConnectionRefusedError


@pytest.fixture
def shaky_engine(proxy: Proxy) -> Iterator[Engine]:
    engine = create_engine(proxy.url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_a_server_that_goes_away_in_the_middle_of_a_turn_gets_all_of_it_when_it_is_back(
    make_backend: MakeBackend,
    shaky_engine: Engine,
    proxy: Proxy,
    postgres_database: Database,
    api: MessagesAPI,
    agent: Agent,
    options: Options,
) -> None:
    """Every connection is lost, and no new one is had: appends, the lease and the costs all wait."""
    reachable = proxy.upstream

    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Go.":
            proxy.upstream = _refuse
            proxy.drop_all()
            return [call("Bash", command=f"echo {CANARY}")]
        return [say("Done.")]

    api.script = script
    env = options().env
    observer = postgres_database.engine()
    with stored_is_whole(observer, agent, Path(env["CLAUDE_CONFIG_DIR"])):
        async with make_backend(shaky_engine, options={"env": env}) as backend:
            events: list[AgentEvent] = []
            async for event in backend.send("chat", "Go."):
                events.append(event)
                if isinstance(event, MirrorFailed):
                    proxy.upstream = reachable
            assert any(isinstance(event, MirrorFailed) for event in events)
            assert isinstance(events[-1], TurnEnded)
            assert events[-1].reason == "completed"
    stored = row(observer)
    assert (stored.turns, stored.output_tokens, stored.incomplete, stored.state) == (1, 24, False, "idle")
    observer.dispose()
