"""Whatever fails, the host hears of it: a typed error or event, in time, without a word of the transcript."""

from pathlib import Path

import anyio
import pytest
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionStoreError
from boocode_sessions.agents import (
    AgentEvent,
    AgentMissingError,
    AgentStartError,
    ChatHeldError,
    Failed,
    Retrying,
    SessionDamagedError,
    SessionUnknownError,
    ToolStarted,
    TurnEnded,
)
from tests.agents.conftest import MakeBackend, text_of, told
from tests.agents.test_turns import row
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, RefusedError, call, echo, say

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["sqlite"])]

ONE_RETRY = {"env": {"CLAUDE_CODE_MAX_RETRIES": "1"}}
LONG = "for i in $(seq 300); do sleep 0.1; done"


def failure_in(events: list[AgentEvent]) -> Failed:
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert isinstance(events[-1], TurnEnded)
    assert events[-1].reason == "failed"
    return failed


def stored_text(engine: Engine) -> str:
    """All that the database has of the chat's transcript."""
    stored = row(engine)
    key: SessionKey = {"project_key": stored.project_key, "session_id": stored.session_id}
    return repr(ClaudeSessionRepository(engine).load(key))


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (401, "authentication_error", "authentication"),
        (429, "rate_limit_error", "rate_limited"),
        (529, "overloaded_error", "overloaded"),
    ],
)
async def test_what_the_api_refuses_is_told_by_its_kind(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, status: int, name: str, kind: str
) -> None:
    def refuse(_request: MessagesRequest) -> list[Block]:
        raise RefusedError(status, name)

    async with make_backend(options=ONE_RETRY) as backend:
        api.script = refuse
        events = await told(backend, "chat", "Hello.")
        failed = failure_in(events)
        assert (failed.kind, failed.status) == (kind, status)
        assert any(isinstance(event, Retrying) and event.status == status for event in events)
        assert "secret" not in repr(events)
        assert row(engine).last_error == kind
        api.script = echo
        assert text_of(await told(backend, "chat", "Again.")) == "You said: Again."
        assert row(engine).last_error is None


async def test_an_api_that_cant_be_reached_is_told_as_the_agents_error(make_backend: MakeBackend) -> None:
    nobody = {"env": {**ONE_RETRY["env"], "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}}
    async with make_backend(options=nobody) as backend:
        events = await told(backend, "chat", "Hello.")
        assert (failure_in(events).kind, failure_in(events).status) == ("agent_error", None)
        assert any(isinstance(event, Retrying) for event in events)


async def test_a_missing_executable_is_told_before_the_turn_begins(
    make_backend: MakeBackend, tmp_path: Path, engine: Engine
) -> None:
    async with make_backend(options={"cli_path": tmp_path / "none"}) as backend:
        with pytest.raises(AgentMissingError, match="cli_path"):
            await told(backend, "chat", "Hello.")
        assert backend.warm == 0
    assert row(engine).state == "idle"


async def test_a_missing_folder_is_told_by_its_name(make_backend: MakeBackend, tmp_path: Path) -> None:
    async with make_backend(options={"cwd": tmp_path / "none"}) as backend:
        with pytest.raises(AgentMissingError, match="none is not there"):
            await told(backend, "chat", "Hello.")


async def test_an_agent_that_does_not_start_in_time_is_given_up(
    make_backend: MakeBackend, tmp_path: Path, agent: Agent
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    silent.chmod(0o755)
    async with make_backend(options={"cli_path": silent}, limits={"start_seconds": 0.5}) as backend:
        with pytest.raises(AgentStartError, match="start_seconds"):
            await told(backend, "chat", "Hello.")
        assert list(agent.survivors()) == []


async def test_the_hosts_own_options_may_fail(make_backend: MakeBackend) -> None:
    async with make_backend(options={"no_such_option": True}) as backend:
        for _ in range(2):
            with pytest.raises(TypeError, match="no_such_option"):
                await told(backend, "chat", "Hello.")


async def test_a_chat_that_is_at_work_elsewhere_is_refused(
    make_backend: MakeBackend, api: MessagesAPI
) -> None:
    api.script = lambda request: [say("Done.")] if request.answers_a_tool else [call("Bash", command=LONG)]
    async with make_backend() as one, make_backend() as other:
        async for event in one.send("chat", "Go."):
            if isinstance(event, ToolStarted):
                with pytest.raises(ChatHeldError, match="is at work in process"):
                    await told(other, "chat", "Hello.")
                await one.interrupt("chat")


async def test_a_session_that_the_store_does_not_know_is_told(
    make_backend: MakeBackend, engine: Engine, agent: Agent
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
    before = row(engine).session_id
    ClaudeSessionRepository(engine).delete({"project_key": agent.project_key, "session_id": before})
    async with make_backend() as backend:
        with pytest.raises(SessionUnknownError, match=before):
            await told(backend, "chat", "Hello again.")
    async with make_backend(start_afresh=True) as backend:
        assert text_of(await told(backend, "chat", "Hello again.")) == "You said: Hello again."
    assert row(engine).session_id != before
    assert row(engine).turns == 2


async def test_a_damaged_session_is_told_and_given_up_only_if_the_host_says_so(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
    before = row(engine).session_id
    with engine.begin() as connection:
        connection.execute(text("UPDATE claude_session_entries SET entry = '{\"cut o'"))
    async with make_backend() as backend:
        with pytest.raises(SessionDamagedError, match=before):
            await told(backend, "chat", "Hello again.")
    async with make_backend(start_afresh=True) as backend:
        assert text_of(await told(backend, "chat", "Hello again.")) == "You said: Hello again."
    assert row(engine).session_id != before
    assert ("user", "Hello.") not in api.last.conversation


async def test_a_killed_agent_is_told_and_the_next_prompt_resumes(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, agent: Agent
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        return echo(request) if request.prompt == "Again." else [call("Bash", command=LONG)]

    api.script = script
    async with make_backend() as backend:
        events: list[AgentEvent] = []
        async for event in backend.send("chat", "Go."):
            events.append(event)
            if isinstance(event, ToolStarted):
                with anyio.fail_after(10):
                    while "Go." not in stored_text(engine):  # noqa: ASYNC110 - a database sets no event
                        await anyio.sleep(0.02)
                for process in agent.survivors():
                    process.kill()
        assert failure_in(events).kind == "agent_died"
        assert row(engine).last_error == "agent_died"
        assert text_of(await told(backend, "chat", "Again.")) == "You said: Again."
    assert ("user", "Go.") in api.last.conversation


async def test_an_agent_that_is_killed_while_it_rests_is_replaced(
    make_backend: MakeBackend, api: MessagesAPI, agent: Agent
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
        for process in agent.survivors():
            process.kill()
        await told(backend, "chat", "Again.")
    assert ("user", "Hello.") in api.last.conversation


async def test_a_turn_that_lasts_too_long_is_interrupted(make_backend: MakeBackend, api: MessagesAPI) -> None:
    api.script = lambda request: [say("Done.")] if request.answers_a_tool else [call("Bash", command=LONG)]
    async with make_backend(limits={"turn_seconds": 2.5}) as backend:
        assert (await told(backend, "chat", "Go."))[-1].reason == "timed_out"  # type: ignore[union-attr]


async def test_an_agent_that_does_not_hear_an_interrupt_is_ended(
    make_backend: MakeBackend, api: MessagesAPI, agent: Agent
) -> None:
    api.script = lambda request: (
        echo(request)
        if request.answers_a_tool or request.prompt == "Again."
        else [call("Bash", command=LONG)]
    )
    async with make_backend(limits={"drain_seconds": 0.5}) as backend:
        async for event in backend.send("chat", "Go."):
            if isinstance(event, ToolStarted):
                for process in agent.survivors():
                    process.suspend()
                with anyio.fail_after(30):
                    await backend.interrupt("chat")
            last = event
        assert isinstance(last, TurnEnded)
        assert last.reason == "interrupted"
        for process in agent.survivors():
            process.resume()
        assert text_of(await told(backend, "chat", "Again.")) == "You said: Again."


async def test_an_agent_that_does_not_read_a_long_prompt_is_ended(
    make_backend: MakeBackend, agent: Agent, engine: Engine
) -> None:
    """Its pipe is full then, and the prompt can't be written."""
    events: list[AgentEvent] = []

    async def send() -> None:
        events.extend(await told(backend, "chat", "Go. " * 200_000))

    async with make_backend(limits={"drain_seconds": 0.5}) as backend:
        await told(backend, "chat", "Hello.")
        for process in agent.survivors():
            process.suspend()
        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                group.start_soon(send)
                while row(engine).state != "running":  # noqa: ASYNC110 - a database sets no event
                    await anyio.sleep(0.02)
                await backend.interrupt("chat")
            assert isinstance(events[-1], TurnEnded)
            assert events[-1].reason == "interrupted"
            assert text_of(await told(backend, "chat", "Again.")) == "You said: Again."


async def test_a_message_of_more_than_the_sdks_megabyte_does_not_end_the_agent(
    make_backend: MakeBackend, engine: Engine
) -> None:
    prompt = "Go. " * 300_000
    async with make_backend() as backend:
        events = await told(backend, "chat", prompt)
        assert isinstance(events[-1], TurnEnded)
        assert (events[-1].reason, events[-1].stored) == ("completed", True)
    assert prompt in stored_text(engine)


async def test_a_listener_that_fails_between_turns_ends_no_chat(
    make_backend: MakeBackend, api: MessagesAPI, caplog: pytest.LogCaptureFixture
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Begin.":
            return [call("Bash", command="sleep 0.5", run_in_background=True)]
        return echo(request)

    def fail(_chat: str, _agent: str, _event: AgentEvent) -> None:
        raise ZeroDivisionError

    api.script = script
    async with make_backend(on_background=fail) as backend:
        await told(backend, "chat", "Begin.")
        with anyio.fail_after(20):
            while "at TurnEnded" not in caplog.text:  # noqa: ASYNC110 - a log sets no event
                await anyio.sleep(0.05)
        for chat in ("chat", "other"):
            assert text_of(await told(backend, chat, "Hello.")) == "You said: Hello."
    assert "on_background has failed for chat 'chat'" in caplog.text


@pytest.mark.usefixtures("impatient_sdk")
async def test_a_turn_whose_chat_was_taken_over_says_so_and_writes_nothing_more(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI
) -> None:
    api.script = lambda request: (
        [say("Done.")] if request.answers_a_tool else [call("Bash", command="echo it")]
    )
    async with make_backend() as backend:
        events: list[AgentEvent] = []
        async for event in backend.send("chat", "Go."):
            events.append(event)
            if isinstance(event, ToolStarted):
                with engine.begin() as connection:  # what a takeover does after the lease has run out
                    connection.execute(
                        text(
                            "UPDATE claude_agent_sessions SET holder = 'x', fencing_token = fencing_token + 1"
                        )
                    )
    assert failure_in(events).kind == "lease_lost"
    stored = row(engine)
    assert (stored.holder, stored.turns) == ("x", 0)
    assert "Done." not in stored_text(engine)


async def test_a_database_that_is_away_refuses_the_next_turn(
    make_backend: MakeBackend, engine: Engine
) -> None:
    async with make_backend() as backend:
        await told(backend, "chat", "Hello.")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE claude_agent_sessions RENAME TO away"))
        with pytest.raises(SessionStoreError):
            await told(backend, "chat", "Again.")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO claude_agent_sessions"))
        assert text_of(await told(backend, "chat", "Again.")) == "You said: Again."
    assert row(engine).turns == 2


async def test_a_prompt_of_another_type_ends_no_chat(make_backend: MakeBackend) -> None:
    async with make_backend() as backend:
        with pytest.raises(TypeError, match="prompt is text, not bytes"):
            await told(backend, "chat", b"Hello.")  # type: ignore[arg-type]
        for chat in ("chat", "other"):
            assert text_of(await told(backend, chat, "Hello.")) == "You said: Hello."
