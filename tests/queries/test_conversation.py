"""`conversation` sees what the SDK's own reader sees."""

import random
import uuid as uuids
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from claude_agent_sdk import (
    InMemorySessionStore,
    fork_session_via_store,
    get_session_messages_from_store,
    get_subagent_messages_from_store,
    project_key_for_directory,
)
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions.errors import AmbiguousSessionError, UnknownSessionError
from boocode_sessions.queries.chain import main_conversation, subagent_conversation
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.queries.lines import Line, answer, at, entries, key, prompt, result, tool_use

SESSION = "0467bc32-8144-44c4-a02c-be06b16e901e"


def compaction() -> list[Line]:
    return [
        prompt("u1", "first"),
        answer("a1", "one", parent="u1"),
        {
            "type": "system",
            "subtype": "compact_boundary",
            "uuid": "c",
            "parentUuid": None,
            "logicalParentUuid": "a1",
        },
        prompt("u2", "the story so far", "c", isCompactSummary=True),
        prompt("u3", "meta", "u2", isMeta=True),
        prompt("u4", "<command-name>/compact</command-name>", "u3"),
        prompt("u5", "go on", "u4"),
        answer("a5", "on", parent="u5"),
    ]


def parallel_tools() -> list[Line]:
    """Three calls in one response; the results come in another order, and the turn goes on from the first."""
    return [
        prompt("u", "do"),
        answer("a0", "I will", parent="u", call="m1", seconds=1),
        answer("a1", tool_use("t1"), parent="a0", call="m1", seconds=2),
        answer("a2", tool_use("t2"), parent="a1", call="m1", seconds=2),
        answer("a3", tool_use("t3"), parent="a2", call="m1", seconds=3),
        result("r3", "t3", parent="a3", seconds=4),
        result("r1", "t1", parent="a1", seconds=6),
        result("r2", "t2", parent="a2", seconds=5, sourceToolAssistantUUID="a2"),
        {"type": "attachment", "uuid": "x", "parentUuid": "r1", "attachment": {"type": "date"}},
        answer("a4", "all done", parent="x", call="m2", seconds=7),
    ]


TRANSCRIPTS: dict[str, Callable[[], list[Line]]] = {
    "nothing": list,
    "no message": lambda: [{"type": "attachment", "uuid": "x", "parentUuid": None}, {"type": "last-prompt"}],
    "a plain turn": lambda: [
        prompt("u", "hi"),
        answer("a", "ho", parent="u"),
        {"type": "last-prompt", "leafUuid": "a"},
    ],
    "an edited prompt": lambda: [
        prompt("u1", "hi"),
        answer("a1", "ho", parent="u1"),
        prompt("u2", "no", "a1"),
        answer("a2", "why", parent="u2"),
        prompt("u3", "yes", "a1"),
    ],
    "a compaction": compaction,
    "parallel tools": parallel_tools,
    "a result elsewhere": lambda: [
        *parallel_tools()[:5],
        result("r1", "t1", parent="a1"),
        result("r2", "t2", parent="nowhere", sourceToolAssistantUUID="a2"),
        result("r2b", "t2", parent="nowhere"),
        result("r3", "t3", parent="u", agentId="other"),
        answer("a4", "done", parent="r1", call="m2"),
    ],
    "a sidechain last": lambda: [
        prompt("u", "hi"),
        answer("a", "ho", parent="u"),
        answer("s", "side", parent="u", isSidechain=True),
    ],
    "only sidechains": lambda: [
        prompt("u", "hi", isSidechain=True),
        answer("a", "ho", parent="u", isSidechain=True),
    ],
    "a team": lambda: [
        prompt("u", "hi"),
        answer("t", "team", parent="u", teamName="x"),
        prompt("m", "x", "u", isMeta=True),
    ],
    "a circle": lambda: [prompt("u", "hi", "a"), answer("a", "ho", parent="u"), prompt("v", "x", "a")],
    "a parent that is gone": lambda: [prompt("u", "hi", "gone"), answer("a", "ho", parent="u")],
    "a uuid twice": lambda: [
        prompt("u", "hi"),
        answer("a", "ho", parent="u"),
        prompt("u", "hello"),
        answer("b", "o", parent="u"),
    ],
    "an odd message": lambda: [
        prompt("u", "hi", message="text"),
        answer("a", parent="u") | {"message": {"id": 5, "content": [7, "x", {"type": "tool_use", "id": 1}]}},
        prompt("v", "x", "a", timestamp=5),
    ],
}


def random_transcript(seed: int) -> list[Line]:
    """A tree of messages with forks, parallel calls, sidechains, circles and uuids that come twice."""
    rng = random.Random(seed)
    lines: list[Line] = []
    for n in range(rng.randint(1, 30)):
        # Usually the line before it, sometimes any, and one that is not there.
        parents = [None, "gone", *(line["uuid"] for line in lines)]
        parent = parents[-1] if rng.random() < 0.6 else rng.choice(parents)
        uuid = f"n{n}" if rng.random() < 0.97 or not lines else rng.choice(lines)["uuid"]
        members: Line = {"timestamp": at(rng.randint(0, 20))}
        if rng.random() < 0.05:
            members[rng.choice(["isSidechain", "isMeta", "teamName"])] = True
        if rng.random() < 0.1:
            members["agentId"] = rng.choice("xy")
        if rng.random() < 0.2:
            members["sourceToolAssistantUUID"] = rng.choice(parents)
        calls = [f"t{rng.randint(0, 8)}" for _ in range(rng.randint(1, 2))]
        kind = rng.random()
        if kind < 0.35:
            lines.append(
                answer(uuid, *map(tool_use, calls), parent=parent, call=f"m{rng.randint(0, 4)}") | members
            )
        elif kind < 0.7:
            lines.append(result(uuid, *calls, parent=parent) | members)
        elif kind < 0.85:
            lines.append(prompt(uuid, "said", parent) | members)
        else:
            other = rng.choice(["system", "attachment", "progress", "mode"])
            lines.append({"type": other, "uuid": uuid, "parentUuid": parent, **members})
    return lines


def seen_by_the_sdk(lines: list[Line], subagent: bool = False) -> list[tuple[str, Any]]:
    async def read() -> list[Any]:
        store = InMemorySessionStore()
        session = key(SESSION, project_key_for_directory("."), "subagents/agent-x" if subagent else None)
        await store.append(session, entries(*lines))
        if subagent:
            return await get_subagent_messages_from_store(store, SESSION, "x")
        return await get_session_messages_from_store(store, SESSION)

    return [(message.uuid, message.message) for message in anyio.run(read)]


def seen(lines: list[Any]) -> list[tuple[str, Any]]:
    return [(line["uuid"], line.get("message")) for line in lines]


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_chain_is_the_sdks(name: str) -> None:
    lines = TRANSCRIPTS[name]()
    assert seen(main_conversation(lines)) == seen_by_the_sdk(lines)
    assert seen(subagent_conversation(lines)) == seen_by_the_sdk(lines, subagent=True)


def test_the_chain_is_the_sdks_over_random_trees() -> None:
    longest = 0
    for seed in range(1500):
        lines = random_transcript(seed)
        conversation = seen(main_conversation(lines))
        assert conversation == seen_by_the_sdk(lines), f"random_transcript({seed})"
        if seed % 5 == 0:
            assert seen(subagent_conversation(lines)) == seen_by_the_sdk(lines, subagent=True), seed
        longest = max(longest, len(conversation))
    assert longest > 10


def test_parallel_calls_are_whole_and_in_order_of_time() -> None:
    assert [line["uuid"] for line in main_conversation(parallel_tools())] == (
        ["u", "a0", "a1", "a2", "a3", "r3", "r2", "r1", "a4"]
    )


@pytest.mark.anyio
async def test_what_is_stored_is_read_as_the_sdk_reads_it_and_so_are_forks(engine: Engine) -> None:
    project = project_key_for_directory(".")
    store = SQLAlchemySessionStore(engine)
    real = {
        f"{n}": str(uuids.uuid5(uuids.NAMESPACE_URL, n))
        for n in ["u", "a0", "a1", "a2", "a3", "r1", "r2", "r3", "x", "a4"]
    }

    def with_real_uuids(line: Line) -> Line:
        parent = line["parentUuid"]
        return line | {"uuid": real[line["uuid"]], "parentUuid": parent and real[parent]}

    await store.append(key(SESSION, project), entries(*map(with_real_uuids, parallel_tools())))
    fork = await fork_session_via_store(store, SESSION)
    for session_id in (SESSION, fork.session_id):
        messages = await get_session_messages_from_store(store, session_id)
        found = queries.conversation(engine, session_id)
        assert [(m.uuid, m.type, m.entry["message"]) for m in found] == [
            (m.uuid, m.type, m.message) for m in messages
        ]
        assert len(found) >= 9


def test_a_message_says_who_when_and_what(engine: Engine) -> None:
    lines = [prompt("u", "h\0i"), answer("a", "ho", tool_use("t", "Read"), parent="u", seconds=2)]
    ClaudeSessionRepository(engine).append(key(), entries(*lines))
    first, second = queries.conversation(engine, "s1")
    assert (first.position, first.type, first.text, first.entry) == (0, "user", "h\0i", lines[0])
    assert (second.role, second.model, second.text, second.tool_names) == (
        *("assistant", "claude-opus-5-5", "ho"),
        ["Read"],
    )
    assert second.timestamp is not None
    assert first.timestamp is not None
    assert (second.timestamp - first.timestamp).total_seconds() == 2


def test_a_subagents_conversation_is_read_by_its_subpath(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    repository.append(key(), entries(prompt("u", "main")))
    repository.append(key(subpath="subagents/agent-1"), entries(prompt("u", "sub", isSidechain=True)))
    assert [m.text for m in queries.conversation(engine, "s1", subpath="subagents/agent-1")] == ["sub"]
    assert queries.conversation(engine, "s1", subpath="subagents/agent-2") == []


def test_a_session_is_found_by_the_beginning_of_its_id(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    for session_id in ("abc1", "abc2", "abc", "a%c", "x1"):
        repository.append(key(session_id), entries(prompt("u", session_id)))
    repository.append(key("x1", "other"), entries(prompt("u", "other's")))
    assert queries.find_session(engine, "abc1") == queries.SessionRef("p", "abc1")
    assert queries.find_session(engine, "abc") == queries.SessionRef("p", "abc")
    assert queries.find_session(engine, "a%") == queries.SessionRef("p", "a%c")
    assert queries.find_session(engine, "x", project_key="other") == queries.SessionRef("other", "x1")
    assert [m.text for m in queries.conversation(engine, "x1", project_key="other")] == ["other's"]
    repository.append(key("ABC1"), entries(prompt("u", "in capitals")))
    assert queries.find_session(engine, "A") == queries.SessionRef("p", "ABC1")
    assert queries.projects(engine, containing="THE") == ["other"]
    with pytest.raises(UnknownSessionError, match="no session has an id that begins with 'nope'"):
        queries.find_session(engine, "nope")
    with pytest.raises(AmbiguousSessionError, match="give more of it"):
        queries.find_session(engine, "ab")
    with pytest.raises(AmbiguousSessionError, match=r"name the project: x1 in other, x1 in p$"):
        queries.conversation(engine, "x1")


def test_of_several_sessions_that_may_be_meant_five_are_named(engine: Engine) -> None:
    repository = ClaudeSessionRepository(engine)
    for n in range(5):
        repository.append(key(f"abc{n}"), entries(prompt("u", "hi")))
    five = "abc0 in p, abc1 in p, abc2 in p, abc3 in p, abc4 in p"
    with pytest.raises(AmbiguousSessionError, match=rf"begins with 'abc': give more of it: {five}$"):
        queries.find_session(engine, "abc")
    repository.append(key("abc5", "other"), entries(prompt("u", "hi")))
    with pytest.raises(AmbiguousSessionError, match=rf"{five}, and more$"):
        queries.find_session(engine, "abc")
    with pytest.raises(AmbiguousSessionError, match=rf"of project 'p' .*{five}$"):
        queries.find_session(engine, "abc", project_key="p")
