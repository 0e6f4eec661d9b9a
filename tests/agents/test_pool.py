"""So many processes at most: an idle one makes room, and one that is at work never does."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest
from claude_agent_sdk import ClaudeSDKClient, SystemMessage
from sqlalchemy import Engine, select

from boocode_sessions.agents import (
    ChatHeldError,
    ClaudeAgentSession,
    ClaudeSdkBackend,
    PermissionRequested,
    PoolFullError,
    TurnEnded,
)
from tests.agents.conftest import MakeBackend, text_of, told
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["sqlite"])]


@pytest.fixture
def gate(api: MessagesAPI) -> Iterator[threading.Event]:
    """Holds back the answers to prompts that say so."""
    opened = threading.Event()

    def script(request: MessagesRequest) -> list[Block]:
        if "Wait" in request.prompt:
            opened.wait(20)
        return [say(f"You said: {request.prompt}")]

    api.script = script
    yield opened
    opened.set()


async def all_ended(backend: ClaudeSdkBackend, agent: Agent) -> None:
    with anyio.fail_after(20):
        while backend.warm or list(agent.survivors()):  # noqa: ASYNC110 - processes set no event
            await anyio.sleep(0.05)


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not is_so():  # noqa: ASYNC110 - nothing sets an event
            await anyio.sleep(0.02)


def chats(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = select(ClaudeAgentSession.chat_id).order_by(ClaudeAgentSession.chat_id)
        return list(connection.execute(found).scalars())


async def test_the_one_that_has_been_idle_longest_makes_room(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    async with make_backend(limits={"max_warm": 2}) as backend:
        for chat in ("a", "b", "c"):
            await told(backend, chat, f"I am {chat}.")
            assert len(list(agent.survivors())) <= 2
        assert backend.warm == 2
        processes = {process.pid for process in agent.survivors()}
        await told(backend, "b", "Still there?")
        assert {process.pid for process in agent.survivors()} == processes
        await told(backend, "a", "Who am I?")
        assert ("user", "I am a.") in api.last.conversation


async def test_one_at_work_never_makes_room(make_backend: MakeBackend, gate: threading.Event) -> None:
    async with make_backend(limits={"max_warm": 1, "pool_seconds": 3}) as backend:
        answers: list[str] = []

        async def wait() -> None:
            answers.append(text_of(await told(backend, "a", "Wait.")))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.1)
            with pytest.raises(PoolFullError, match="max_warm"):
                await told(backend, "b", "Hello.")
            gate.set()
        assert answers == ["You said: Wait."]
        assert text_of(await told(backend, "b", "Hello.")) == "You said: Hello."


async def test_one_that_asks_for_leave_never_makes_room(make_backend: MakeBackend, api: MessagesAPI) -> None:
    api.script = lambda request: (
        [call("Bash", command="echo it ran > proof.txt")] if request.prompt == "Write." else [say("Done.")]
    )
    async with make_backend(
        options={"permission_mode": "default"}, limits={"max_warm": 1, "pool_seconds": 3}
    ) as backend:
        async for event in backend.send("a", "Write."):
            if isinstance(event, PermissionRequested):
                with pytest.raises(PoolFullError):
                    await told(backend, "b", "Hello.")
                backend.answer(event.request_id, allow=False)
            last = event
        assert isinstance(last, TurnEnded)
        assert last.reason == "completed"
        assert text_of(await told(backend, "b", "Hello.")) == "Done."


async def test_a_chat_that_another_host_takes_while_it_waits_for_room_is_not_begun(
    make_backend: MakeBackend, gate: threading.Event, api: MessagesAPI, engine: Engine
) -> None:
    """The agent would be told a prompt whose answer nobody may store."""
    short = {"max_warm": 1, "lease_seconds": 0.3, "pool_seconds": 60}
    async with (
        make_backend(limits=short) as one,
        make_backend() as other,
        anyio.create_task_group() as group,
    ):
        group.start_soon(told, one, "a", "Wait.")
        await until(lambda: any(request.prompt == "Wait." for request in api.requests))
        refused: list[Exception] = []

        async def lose() -> None:
            try:
                await told(one, "b", "Lost.")
            except ChatHeldError as error:
                refused.append(error)

        group.start_soon(lose)
        await until(lambda: chats(engine) == ["a", "b"])
        await anyio.sleep(0.5)  # its lease has run out
        await told(other, "b", "Hello.")
        gate.set()
    assert len(refused) == 1
    assert not [request for request in api.requests if request.prompt == "Lost."]


async def test_a_prompt_waits_until_there_is_room(make_backend: MakeBackend, gate: threading.Event) -> None:
    async with make_backend(limits={"max_warm": 1}) as backend, anyio.create_task_group() as group:
        group.start_soon(told, backend, "a", "Wait.")
        await anyio.sleep(0.1)
        group.start_soon(anyio.to_thread.run_sync, gate.set)
        assert text_of(await told(backend, "b", "Hello.")) == "You said: Hello."


async def test_one_that_says_late_that_it_is_idle_makes_room_then(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its result, and after all that the turn has to write is written."""
    receive = ClaudeSDKClient.receive_messages

    async def late(client: ClaudeSDKClient) -> AsyncIterator[object]:
        async for message in receive(client):
            match message:
                case SystemMessage(subtype="session_state_changed", data={"state": "idle"}):
                    await anyio.sleep(1)
            yield message

    monkeypatch.setattr(ClaudeSDKClient, "receive_messages", late)
    async with make_backend(limits={"max_warm": 1, "pool_seconds": 15}) as backend:
        await told(backend, "a", "Hello.")
        assert await told(backend, "b", "Hello.")


async def test_an_agent_that_is_idle_for_long_is_ended(make_backend: MakeBackend, agent: Agent) -> None:
    async with make_backend(limits={"idle_seconds": 0.2}) as backend:
        await told(backend, "chat", "Hello.")
        await all_ended(backend, agent)


async def test_an_agent_with_a_background_task_is_not_ended(
    make_backend: MakeBackend, agent: Agent, api: MessagesAPI
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Begin.":
            return [call("Bash", command="sleep 1.5; echo done > proof.txt", run_in_background=True)]
        return [say("Yes.")]

    api.script = script
    heard: list[str] = []
    async with make_backend(
        limits={"idle_seconds": 0.1, "max_warm": 1, "pool_seconds": 0.5},
        on_background=lambda chat, _agent, event: heard.append(f"{chat} {type(event).__name__}"),
    ) as backend:
        await told(backend, "chat", "Begin.")
        with pytest.raises(PoolFullError):
            await told(backend, "other", "Hello.")
        await all_ended(backend, agent)
    assert (agent.project / "proof.txt").read_text() == "done\n"
    assert "chat TurnEnded" in heard
