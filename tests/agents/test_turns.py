"""A chat's turns: on a warm agent, on one that is resumed from the store, and those that end early."""

from typing import Any

import anyio
import psutil
import pytest
from sqlalchemy import Engine, make_url, select
from sqlalchemy.orm import Session

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.agents import (
    BackendClosedError,
    ClaudeAgentSession,
    NoTurnError,
    QueueFullError,
    SessionStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    Usage,
)
from boocode_sessions.engine import create_engine
from tests.agents.conftest import MakeBackend, text_of, told
from tests.agents.statements import counted
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.fixtures.databases import Database, on_postgresql, on_sqlite
from tests.performance.wire import WireCounter

pytestmark = pytest.mark.anyio


def row(engine: Engine, chat_id: str = "chat") -> ClaudeAgentSession:
    with Session(engine) as db:
        return db.scalars(select(ClaudeAgentSession).filter_by(chat_id=chat_id)).one()


def conversation(engine: Engine, agent: Agent, session_id: str) -> list[tuple[str, str]]:
    """(role, text) of the transcript that the database holds."""
    entries = ClaudeSessionRepository(engine).load(
        {"project_key": agent.project_key, "session_id": session_id}
    )
    said: list[tuple[str, str]] = []
    for entry in entries or []:
        if entry["type"] in {"user", "assistant"}:
            content: Any = entry["message"]["content"]
            blocks = [say(content)] if isinstance(content, str) else content
            said += [(entry["type"], str(block.get("text"))) for block in blocks]
    return said


async def test_a_turn_is_told_as_it_goes_and_stored_when_it_has_ended(
    make_backend: MakeBackend, engine: Engine, agent: Agent, api: MessagesAPI
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        return [say("Done.")] if request.answers_a_tool else [say("I will."), call("Bash", command="echo hi")]

    api.script = script
    async with make_backend() as backend:
        events = await told(backend, "chat", "Run it.")
        started = next(event for event in events if isinstance(event, SessionStarted))
        stored = row(engine)
        assert [type(event) for event in events if not isinstance(event, SessionStarted)] == [
            TextDelta,
            ToolStarted,
            ToolFinished,
            TextDelta,
            TurnEnded,
        ]
        assert events[-1] == TurnEnded("completed", Usage(20, 24), stored.cost_usd, stored=True)
        assert (stored.session_id, stored.project_key) == (started.session_id, agent.project_key)
        assert (stored.state, stored.turns, stored.lease_until, stored.last_error) == ("idle", 1, None, None)
        assert ("assistant", "Done.") in conversation(engine, agent, started.session_id)


async def test_a_warm_turn_takes_two_statements_beside_its_appends(
    make_backend: MakeBackend, engine: Engine
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "One.")
        with counted(engine) as statements:
            await told(backend, "chat", "Two.")
    beside = [statement for statement in statements if "claude_agent_sessions" in statement.split("WHERE")[0]]
    assert len(beside) == 2
    appends = sum("INSERT INTO claude_session_entries" in statement for statement in statements)
    assert len(statements) == 2 + appends * (1 if engine.dialect.name == "postgresql" else 2)


@on_postgresql
async def test_each_statement_of_a_warm_turn_is_one_round_trip(
    make_backend: MakeBackend, database: Database
) -> None:
    wire = WireCounter(make_url(database.url))
    engine = create_engine(wire.url)
    async with make_backend(engine) as backend:
        await told(backend, "chat", "One.")
        await anyio.sleep(0.5)  # lines that come after the result are not the next turn's
        wire.take()
        with counted(engine) as statements:
            await told(backend, "chat", "Two.")
            assert wire.take() == len(statements) >= 3
    engine.dispose()
    wire.close()


@on_sqlite
async def test_later_turns_go_to_the_same_warm_process(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "One.")
        processes = {process.pid for process in agent.survivors()}
        await told(backend, "chat", "Two.")
        assert {process.pid for process in agent.survivors()} == processes
        assert api.last.conversation[0] == ("user", "One.")
        assert backend.warm == 1
    assert list(agent.survivors()) == []


@on_postgresql
async def test_another_host_resumes_the_chat_from_the_store(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI
) -> None:
    async with make_backend() as one, make_backend() as other:
        await told(one, "chat", "Remember 7731.")
        events = await told(other, "chat", "What was it?")
        assert text_of(events) == "You said: What was it?"
        assert ("user", "Remember 7731.") in api.last.conversation
        assert row(engine).fencing_token == 2
        # And back: the first host's warm process does not know what was said meanwhile, and is not used.
        await told(one, "chat", "And now?")
        assert ("user", "What was it?") in api.last.conversation
        assert row(engine).fencing_token == 3


async def test_the_same_over_an_async_engine(
    make_backend: MakeBackend, database: Database, api: MessagesAPI
) -> None:
    async_engine = database.async_engine()
    async with make_backend(async_engine) as one:
        await told(one, "chat", "Remember 7731.")
    async with make_backend(async_engine) as other:
        await told(other, "chat", "What was it?")
    await async_engine.dispose()
    assert ("user", "Remember 7731.") in api.last.conversation


@on_sqlite
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_the_same_under_trio(make_backend: MakeBackend, api: MessagesAPI, agent: Agent) -> None:
    async with make_backend() as one:
        await told(one, "chat", "Remember 7731.")
    async with make_backend() as other:
        events = await told(other, "chat", "What was it?")
    assert text_of(events) == "You said: What was it?"
    assert ("user", "Remember 7731.") in api.last.conversation
    assert list(agent.survivors()) == []


@on_sqlite
async def test_many_first_prompts_at_once_start_one_agent_and_are_answered_in_order(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI, engine: Engine
) -> None:
    answers: list[str] = []
    most, prompts = 0, 50

    async def send(number: int) -> None:
        nonlocal most
        events = await told(backend, "chat", f"Prompt {number}.")
        most = max(most, len(list(agent.survivors())))
        answers.append(text_of(events))

    async with make_backend(limits={"max_queued": prompts}) as backend, anyio.create_task_group() as group:
        for number in range(prompts):
            group.start_soon(send, number)
    assert answers == [f"You said: Prompt {number}." for number in range(prompts)]
    assert most == 1
    assert len({request.session_id for request in api.requests}) == 1
    assert row(engine).turns == prompts


@on_sqlite
async def test_a_full_queue_refuses_the_next_prompt(make_backend: MakeBackend) -> None:
    async with make_backend(limits={"max_queued": 2}) as backend, anyio.create_task_group() as group:
        refused: list[Exception] = []

        async def send(number: int) -> None:
            try:
                await told(backend, "chat", f"Prompt {number}.")
            except QueueFullError as error:
                refused.append(error)

        for number in range(4):
            group.start_soon(send, number)
    assert len(refused) == 2


@on_sqlite
async def test_an_interrupted_turn_ends_and_does_not_end_the_next_one(
    make_backend: MakeBackend, api: MessagesAPI, engine: Engine
) -> None:
    asked = anyio.Event()
    api.script = lambda request: (
        [say(f"You said: {request.prompt}")]
        if request.answers_a_tool or "Go on" in request.prompt
        else [call("Bash", command="for i in $(seq 200); do sleep 0.1; done")]
    )
    async with make_backend() as backend:
        events: list[Any] = []

        async def first() -> None:
            async for event in backend.send("chat", "Wait."):
                events.append(event)
                if isinstance(event, ToolStarted):
                    asked.set()

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await asked.wait()
            with anyio.fail_after(15):
                await backend.interrupt("chat")
        assert events[-1].reason == "interrupted"
        assert text_of(await told(backend, "chat", "Go on.")) == "You said: Go on."
        with pytest.raises(NoTurnError):
            await backend.interrupt("chat")
    assert row(engine).turns == 2


@on_sqlite
async def test_a_prompt_that_is_about_to_begin_can_be_interrupted(
    make_backend: MakeBackend, api: MessagesAPI
) -> None:
    """A user who stops at once what they have sent was told that nothing is under way, and was answered."""
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
        events: list[Any] = []

        async def send() -> None:
            events.extend(await told(backend, "chat", "Stop."))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await anyio.lowlevel.checkpoint()
            await backend.interrupt("chat")
        assert events == [TurnEnded("interrupted")]
        assert text_of(await told(backend, "chat", "Go on.")) == "You said: Go on."
    assert not any("Stop." in text for _, text in api.last.conversation)


@on_sqlite
async def test_who_stops_listening_interrupts_the_turn(make_backend: MakeBackend, api: MessagesAPI) -> None:
    api.script = lambda request: (
        [say("Here.")]
        if request.answers_a_tool or "Go on" in request.prompt
        else [call("Bash", command="for i in $(seq 200); do sleep 0.1; done")]
    )
    async with make_backend() as backend:
        with anyio.move_on_after(30) as scope:
            async for event in backend.send("chat", "Wait."):
                if isinstance(event, ToolStarted):
                    scope.cancel()
        assert scope.cancel_called
        assert text_of(await told(backend, "chat", "Go on.")) == "Here."


@on_sqlite
async def test_closing_a_chat_ends_its_process_and_the_chat_goes_on_later(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "Remember 7731.")
        await backend.close("chat")
        assert list(agent.survivors()) == []
        assert backend.warm == 0
        await told(backend, "chat", "What was it?")
    assert ("user", "Remember 7731.") in api.last.conversation


@on_sqlite
async def test_closing_a_chat_in_the_middle_of_a_turn_ends_it_and_refuses_what_waits(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI, engine: Engine
) -> None:
    api.script = lambda request: (
        [say("Here.")]
        if request.answers_a_tool or "Go on" in request.prompt
        else [call("Bash", command="for i in $(seq 200); do sleep 0.1; done")]
    )
    refused: list[Exception] = []

    async def wait() -> None:
        try:
            await told(backend, "chat", "I wait.")
        except BackendClosedError as error:
            refused.append(error)

    async with make_backend() as backend, anyio.create_task_group() as group:
        events: list[Any] = []
        async for event in backend.send("chat", "Go."):
            events.append(event)
            if isinstance(event, ToolStarted):
                group.start_soon(wait)
                await anyio.lowlevel.checkpoint()
                with anyio.fail_after(15):
                    await backend.close("chat")
        assert (events[-1].reason, events[-1].stored) == ("interrupted", True)
        assert list(agent.survivors()) == []
        assert (backend.warm, row(engine).state, row(engine).lease_until) == (0, "idle", None)
        assert text_of(await told(backend, "chat", "Go on.")) == "Here."
    assert len(refused) == 1
    assert not any("I wait." in text for _, text in api.last.conversation)


async def test_a_backend_that_is_not_open_says_so(make_backend: MakeBackend) -> None:
    with pytest.raises(BackendClosedError, match="async with"):
        await told(make_backend(), "chat", "Hello.")


@on_sqlite
async def test_no_process_is_left_when_the_host_fails_in_the_middle_of_a_turn(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    api.script = lambda request: (
        [say("Done.")]
        if request.answers_a_tool
        else [call("Bash", command="for i in $(seq 200); do sleep 0.1; done")]
    )

    async def fail() -> None:
        async with make_backend() as backend, anyio.create_task_group() as group:
            async for event in backend.send("chat", "Wait."):
                if isinstance(event, ToolStarted):
                    group.start_soon(_raise)

    with pytest.raises(ExceptionGroup, match="unhandled") as failure:
        await fail()
    assert failure.group_contains(ZeroDivisionError)
    _, alive = psutil.wait_procs(list(agent.survivors()), timeout=5)
    assert not alive


async def _raise() -> None:
    raise ZeroDivisionError
