"""A tool that needs leave waits for the host: it is answered once, or denied in the end."""

from typing import Any

import anyio
import pytest

from boocode_sessions.agents import (
    AgentError,
    AgentEvent,
    ClaudeSdkBackend,
    PermissionAnsweredError,
    PermissionClosed,
    PermissionRequested,
    ToolFinished,
    TurnEnded,
    UnknownPermissionError,
)
from tests.agents.conftest import MakeBackend, told
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["sqlite"])]

ASKING: dict[str, Any] = {"permission_mode": "default"}


@pytest.fixture(autouse=True)
def writing(api: MessagesAPI) -> None:
    """A model that wants to write a file."""

    def script(request: MessagesRequest) -> list[Block]:
        if request.answers_a_tool:
            return [say("Done.")]
        return [call("Bash", command="echo it ran > proof.txt")]

    api.script = script


async def answered(backend: ClaudeSdkBackend, **answer: Any) -> list[AgentEvent]:
    events: list[AgentEvent] = []
    async for event in backend.send("chat", "Write."):
        events.append(event)
        if isinstance(event, PermissionRequested):
            backend.answer(event.request_id, **answer)
            with pytest.raises(PermissionAnsweredError):
                backend.answer(event.request_id, allow=True)
    return events


def only(events: list[AgentEvent], kind: type) -> Any:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


async def test_an_allowed_tool_runs(make_backend: MakeBackend, agent: Agent) -> None:
    async with make_backend(options=ASKING) as backend:
        events = await answered(backend, allow=True)
        asked = only(events, PermissionRequested)
        assert (asked.tool_name, asked.input["command"]) == ("Bash", "echo it ran > proof.txt")
        assert only(events, PermissionClosed).outcome == "allowed"
        assert not only(events, ToolFinished).is_error
        with pytest.raises(PermissionAnsweredError):
            backend.answer(asked.request_id, allow=True)
        with pytest.raises(UnknownPermissionError):
            backend.answer("none", allow=True)
    assert (agent.project / "proof.txt").read_text() == "it ran\n"


async def test_a_tool_runs_with_what_the_host_has_changed(make_backend: MakeBackend, agent: Agent) -> None:
    async with make_backend(options=ASKING) as backend:
        await answered(backend, allow=True, updated_input={"command": "echo changed > proof.txt"})
    assert (agent.project / "proof.txt").read_text() == "changed\n"


async def test_a_denied_tool_does_not_run_and_the_agent_hears_why(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    async with make_backend(options=ASKING) as backend:
        events = await answered(backend, allow=False, message="Not today.")
    assert only(events, PermissionClosed).outcome == "denied"
    assert only(events, ToolFinished).is_error
    assert "Not today." in api.last.prompt
    assert not (agent.project / "proof.txt").exists()


async def test_what_nobody_answers_is_denied_in_the_end(make_backend: MakeBackend, agent: Agent) -> None:
    async with make_backend(options=ASKING, limits={"permission_seconds": 0.3}) as backend:
        events = await told(backend, "chat", "Write.")
        asked = only(events, PermissionRequested)
        assert only(events, PermissionClosed) == PermissionClosed(asked.request_id, "timed_out")
        with pytest.raises(PermissionAnsweredError):
            backend.answer(asked.request_id, allow=True)
    assert isinstance(events[-1], TurnEnded)
    assert not (agent.project / "proof.txt").exists()


async def test_an_interrupt_withdraws_the_request(make_backend: MakeBackend) -> None:
    async with make_backend(options=ASKING) as backend:
        events: list[AgentEvent] = []
        stream = backend.send("chat", "Write.")
        async for event in stream:
            events.append(event)
            if isinstance(event, PermissionRequested):
                await backend.interrupt("chat")
    assert only(events, PermissionClosed).outcome == "withdrawn"
    assert only(events, TurnEnded).reason == "interrupted"


@pytest.mark.parametrize("how", ["killed", "deaf"])
async def test_a_request_of_an_agent_that_is_gone_is_withdrawn_before_its_turn_ends(
    make_backend: MakeBackend, agent: Agent, how: str
) -> None:
    """Nobody would hear of it afterwards: a host that shows the request would show it for ever."""
    async with make_backend(options=ASKING, limits={"drain_seconds": 0.5}) as backend:
        events: list[AgentEvent] = []
        async for event in backend.send("chat", "Write."):
            events.append(event)
            if isinstance(event, PermissionRequested):
                for process in agent.survivors():
                    process.kill() if how == "killed" else process.suspend()
                if how == "deaf":
                    await backend.interrupt("chat")
        asked = only(events, PermissionRequested)
        assert only(events, PermissionClosed) == PermissionClosed(asked.request_id, "withdrawn")
        assert isinstance(events[-1], TurnEnded)
        with pytest.raises(PermissionAnsweredError):
            backend.answer(asked.request_id, allow=True)


async def test_a_changed_permission_mode_holds_for_the_warm_agent_and_for_the_next_one(
    make_backend: MakeBackend, agent: Agent
) -> None:
    async with make_backend(options=ASKING) as backend:
        assert only(await answered(backend, allow=False), PermissionRequested)
        await backend.set_permission_mode("chat", "acceptEdits")
        await backend.set_model("chat", "claude-sonnet-5")
        events = await answered(backend, allow=True)
        await backend.close("chat")
        again = await answered(backend, allow=True)
    for told_events in (events, again):
        assert next(event.model for event in told_events if hasattr(event, "model")) == "claude-sonnet-5"
    assert (agent.project / "proof.txt").exists()


async def test_a_permission_mode_that_the_agent_refuses_is_not_that_of_the_next_one_either(
    make_backend: MakeBackend, agent: Agent
) -> None:
    async with make_backend(options=ASKING) as backend:
        await answered(backend, allow=False)
        with pytest.raises(AgentError, match="goes on as before"):
            await backend.set_permission_mode("chat", "bypassPermissions")
        await backend.close("chat")
        assert only(await answered(backend, allow=False), PermissionRequested)
    assert not (agent.project / "proof.txt").exists()


async def test_a_mode_that_is_changed_while_the_agent_starts_holds_for_it(
    make_backend: MakeBackend, agent: Agent
) -> None:
    """As by a user who sends a prompt, and then chooses to be asked for nothing."""
    events: list[AgentEvent] = []

    async def send() -> None:
        events.extend(await answered(backend, allow=False))

    async with make_backend(options=ASKING) as backend, anyio.create_task_group() as group:
        group.start_soon(send)
        with anyio.fail_after(20):
            while not backend.warm:  # noqa: ASYNC110 - a process sets no event
                await anyio.sleep(0.01)
        await backend.set_permission_mode("chat", "acceptEdits")
    assert not [event for event in events if isinstance(event, PermissionRequested)]
    assert (agent.project / "proof.txt").exists()
