"""What an agent did is in the database, and a later agent that has only the database takes it up."""

import json
import time

import anyio
import pytest
from claude_agent_sdk import (
    SessionStoreEntry,
    fork_session_via_store,
    get_subagent_messages_from_store,
    list_subagents_from_store,
)
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from tests.e2e.agent import Agent, Turn
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, echo, say
from tests.e2e.stores import EngineKind, WatchedStore, store_over
from tests.fixtures.databases import Database, on_postgresql, on_sqlite

pytestmark = pytest.mark.anyio

FRAGMENT = "\ud83d"
"""Half of an emoji, as a broken-off stream can end: legal JSON, but no text for UTF-8 or JSONB."""

DISK_ONLY = {"api-request", "api-request-blob", "api-request-shape"}
"""Types of lines that the agent writes to its file and sends to no mirror: what it asked of the API."""

WORKFLOW = """
export const meta = {name: 'two-looks', description: 'Two agents look', phases: [{title: 'Look'}]}
return await parallel(['one', 'two'].map(name => () => agent('Look ' + name, {label: name, phase: 'Look'})))
"""


def on_disk(agent: Agent, turn: Turn) -> list[SessionStoreEntry]:
    """The main transcript in the agent's own file, less what it never mirrors."""
    file = turn.config / "projects" / agent.project_key / f"{turn.session_id}.jsonl"
    with file.open(encoding="utf-8") as lines:
        written: list[SessionStoreEntry] = [json.loads(line) for line in lines]
    return [entry for entry in written if entry["type"] not in DISK_ONLY]


@pytest.mark.parametrize("kind", ["Engine", "AsyncEngine"])
async def test_a_second_process_resumes_a_turn_from_the_database(
    agent: Agent, api: MessagesAPI, database: Database, kind: EngineKind
) -> None:
    url = database.url if kind == "Engine" else database.async_url
    async with store_over(kind, url) as store:
        turn = await agent.turn("Remember 7731.", store)
    assert turn.mirror_errors == []

    resumed = await agent.turn_in_new_process("What was it?", url, kind, resume=turn.session_id)
    assert resumed.session_id == turn.session_id
    assert resumed.answer == "You said: What was it?"
    assert api.last.conversation == [
        ("user", "Remember 7731."),
        ("assistant", "You said: Remember 7731."),
        ("user", "What was it?"),
    ]


@on_postgresql
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_turn_is_mirrored_and_resumed_under_trio(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    turn = await agent.turn("Remember 7731.", store)
    assert turn.mirror_errors == []
    await agent.turn("What was it?", store, resume=turn.session_id)
    assert ("user", "Remember 7731.") in api.last.conversation


@on_sqlite
async def test_a_tool_call_and_its_output_come_back(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    command = "echo it ran | tee proof.txt"

    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Run it.":
            return [say("I will."), call("Bash", command=command)]
        return [say("Done.")]

    api.script = script
    turn = await agent.turn("Run it.", store)
    await agent.turn("And then?", store, resume=turn.session_id)
    assert await anyio.Path(agent.project, "proof.txt").read_text() == "it ran\n"
    assert api.last.conversation == [
        ("user", "Run it."),
        ("assistant", "I will."),
        ("assistant", f"Bash {json.dumps({'command': command})}"),
        ("user", "it ran"),
        ("assistant", "Done."),
        ("user", "And then?"),
    ]


async def test_a_turn_with_nul_and_half_an_emoji_is_kept_exactly_and_resumed(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    api.script = lambda request: (
        [say(f"It broke off: {FRAGMENT}")]
        if request.answers_a_tool
        else [call("Bash", command=r"printf 'before\000after 1e23 -0.0'")]
    )
    turn = await agent.turn("Print odd bytes.", store)
    assert turn.mirror_errors == []
    loaded = await store.load(agent.key(turn))
    assert loaded == on_disk(agent, turn)
    assert FRAGMENT in json.dumps(loaded, ensure_ascii=False)

    await agent.turn("Say it again.", store, resume=turn.session_id)
    assert ("user", "before\0after 1e23 -0.0") in api.last.conversation
    # What can't be sent as UTF-8 the agent replaces in its request, and only there.
    assert ("assistant", "It broke off: \ufffd") in api.last.conversation


@on_postgresql
async def test_a_subagent_goes_on_where_it_was(agent: Agent, api: MessagesAPI, store: WatchedStore) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        match request.kind, request.prompt:
            case "main", "Delegate.":
                task = {"description": "look", "prompt": "Look.", "subagent_type": "general-purpose"}
                return [call("Agent", **task, run_in_background=False)]
            case "main", "Ask it for more.":
                return [call("SendMessage", to=subagent, message="Go on.", summary="more")]
            case "subagent", "Look.":
                return [call("Bash", command="echo a finding")]
            case "subagent", _:
                return [say("I found it.")]
            case _:
                return [say("Done.")]

    api.script = script
    turn = await agent.turn("Delegate.", store)
    [subagent] = await list_subagents_from_store(store, turn.session_id, str(agent.project))
    assert await store.list_subkeys(agent.key(turn)) == [f"subagents/agent-{subagent}"]

    await agent.turn("Ask it for more.", store, resume=turn.session_id)
    heard = next(request for request in reversed(api.requests) if request.kind == "subagent")
    assert heard.agent_id == subagent
    *before, (role, message) = heard.conversation
    assert before == [
        ("user", "Look."),
        ("assistant", 'Bash {"command": "echo a finding"}'),
        ("user", "a finding"),
        ("assistant", "I found it."),
    ]
    assert role == "user"
    assert "Go on." in message
    messages = await get_subagent_messages_from_store(store, turn.session_id, subagent, str(agent.project))
    assert [message.type for message in messages] == ["user", "assistant"] * 3


@on_postgresql
async def test_a_workflows_subagents_have_nested_subpaths(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    def script(request: MessagesRequest) -> list[Block]:
        if request.kind == "subagent":
            return [say("I looked.")]
        return [call("Workflow", script=WORKFLOW)] if request.prompt == "Use a workflow." else [say("Done.")]

    api.script = script
    turn = await agent.turn("Use a workflow.", store)
    main = agent.key(turn)
    subpaths = await store.list_subkeys(main)
    assert len(subpaths) == 2
    for subpath in subpaths:
        folder, workflows, run, name = subpath.split("/")
        assert (folder, workflows, run[:3], name[:6]) == ("subagents", "workflows", "wf_", "agent-")
        subagent = name.removeprefix("agent-")
        messages = await get_subagent_messages_from_store(
            store, turn.session_id, subagent, str(agent.project)
        )
        assert [message.type for message in messages] == ["user", "assistant"]

    resumed = await agent.turn("And then?", store, resume=turn.session_id)
    assert resumed.answer == "Done."
    assert {key.get("subpath") for key in store.loaded if {**key, **main} == key} >= set(subpaths)


@on_sqlite
async def test_continue_conversation_takes_up_the_newest_session(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    older = await agent.turn("The first.", store)
    await anyio.sleep(0.01)  # their times, in milliseconds, are to differ
    newer = await fork_session_via_store(store, older.session_id, str(agent.project))
    continued = await agent.turn("Go on.", store, continue_conversation=True)
    assert continued.session_id == newer.session_id
    assert api.last.conversation == [
        ("user", "The first."),
        ("assistant", "You said: The first."),
        ("user", "Go on."),
    ]


@on_sqlite
async def test_a_compacted_session_resumes_from_its_summary(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    turn = await agent.turn("A long story.", store)
    api.script = lambda _: [say("<summary>There was a long story.</summary>")]
    await agent.turn("/compact", store, resume=turn.session_id)
    await agent.turn("Go on.", store, resume=turn.session_id)
    said = json.dumps(api.last.conversation)
    assert "There was a long story." in said
    assert "A long story." not in said
    assert api.last.conversation[-1] == ("user", "Go on.")


@on_postgresql
async def test_eager_flushing_shows_a_turn_while_it_runs(
    agent: Agent, api: MessagesAPI, store: WatchedStore, engine: Engine
) -> None:
    repository = ClaudeSessionRepository(engine)

    def prompt_is_stored(session_id: str) -> bool:
        entries = repository.load({"project_key": agent.project_key, "session_id": session_id}) or []
        return any(entry["type"] == "user" for entry in entries)

    def script(request: MessagesRequest) -> list[Block]:
        if not request.answers_a_tool:
            return [call("Bash", command="echo it ran")]
        deadline = time.monotonic() + 15
        while not prompt_is_stored(request.session_id):
            assert time.monotonic() < deadline, "the prompt is not in the database while the turn runs"
            time.sleep(0.02)
        return [say("Done.")]

    api.script = script
    turn = await agent.turn("Run it.", store, session_store_flush="eager")
    assert await store.load(agent.key(turn)) == on_disk(agent, turn)

    api.script = echo
    await agent.turn("And then?", store, resume=turn.session_id, session_store_flush="eager")
    assert ("user", "it ran") in api.last.conversation


async def test_two_agents_at_once_keep_their_own_transcripts(agent: Agent, store: WatchedStore) -> None:
    turns: list[Turn] = []

    async def speak(prompt: str) -> None:
        turns.append(await agent.turn(prompt, store, session_store_flush="eager"))

    async with anyio.create_task_group() as group:
        group.start_soon(speak, "The one.")
        group.start_soon(speak, "The other.")
    for turn in turns:
        assert await store.load(agent.key(turn)) == on_disk(agent, turn)
