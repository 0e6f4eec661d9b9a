"""What the example tells its tabs: each event once, from wherever a tab has left off."""

import anyio
import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.agents import AgentSessions, Holder
from examples.chat_app import chats
from examples.chat_app.log import Entry, Event, Log
from examples.chat_app.models import Base
from tests.fixtures.databases import on_sqlite

pytestmark = pytest.mark.anyio

HISTORY: list[Event] = [
    {"kind": "Prompt", "text": "One."},
    {"kind": "TextDelta", "text": "First."},
    {"kind": "Prompt", "text": "Two."},
    {"kind": "TextDelta", "text": "Second."},
]


async def read(log: Log, last_seen: str | None, most: int) -> list[Entry]:
    entries: list[Entry] = []
    with anyio.fail_after(5):
        async for entry in log.follow(last_seen):
            entries.append(entry)
            if len(entries) == most:
                break
    return entries


def said(entries: list[Entry]) -> list[tuple[object, object]]:
    return [(entry.event.get("turn"), entry.event.get("text")) for entry in entries]


async def test_a_new_tab_gets_the_history_by_its_turns() -> None:
    entries = await read(Log(HISTORY), None, 5)
    assert entries[0].event == {"kind": "Reset"}
    assert said(entries[1:]) == [(1, "One."), (1, "First."), (2, "Two."), (2, "Second.")]


async def test_a_tab_that_comes_back_gets_what_it_has_not_seen() -> None:
    log = Log(HISTORY)
    seen = (await read(log, None, 4))[-1]
    log.add(log.begin_turn("Three."), {"kind": "TextDelta", "text": "Third."})
    assert said(await read(log, seen.id, 3)) == [(2, "Second."), (3, "Three."), (3, "Third.")]


@pytest.mark.parametrize("last_seen", ["other-3", "", "-", "other", "\N{SUPERSCRIPT TWO}"])
async def test_a_tab_of_another_log_begins_anew(last_seen: str) -> None:
    (first,) = await read(Log(HISTORY), last_seen, 1)
    assert first.event == {"kind": "Reset"}


async def test_an_id_that_was_made_up_does_no_harm() -> None:
    log = Log(HISTORY)
    (first,) = await read(log, None, 1)
    name = first.id.partition("-")[0]
    assert (await read(log, f"{name}-\N{SUPERSCRIPT TWO}", 1))[0].event == {"kind": "Reset"}
    assert (await read(log, f"{name}-99", 1))[0].event == {"kind": "Reset"}


async def test_who_waits_hears_of_what_comes() -> None:
    log = Log([])
    heard: list[list[Entry]] = []

    async def wait() -> None:
        heard.append(await read(log, None, 3))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        turn = log.begin_turn("Hello.")
        await anyio.wait_all_tasks_blocked()
        log.add(turn, {"kind": "TextDelta", "text": "Hi."})
    assert [said(entries[1:]) for entries in heard] == [[(1, "Hello."), (1, "Hi.")]] * 2


@on_sqlite
def test_a_prompt_that_was_sent_while_the_agent_was_at_work_is_in_the_history(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    chat = chats.add_chat(engine, "Rain")
    with engine.begin() as connection:
        AgentSessions().acquire(
            connection,
            chat,
            "claude",
            holder=Holder("h", "host", 1),
            project_key="p",
            session_id="s",
            seconds=1,
        )
    spoken = {"role": "user", "content": "One."}
    queued = {"type": "queued_command", "commandMode": "prompt", "prompt": "Two."}
    said = {"role": "assistant", "content": [{"type": "text", "text": "Both."}]}
    ClaudeSessionRepository(engine).append(
        {"project_key": "p", "session_id": "s"},
        [
            {"type": "user", "uuid": "1", "parentUuid": None, "message": spoken},
            {"type": "attachment", "uuid": "2", "parentUuid": "1", "attachment": queued},
            {"type": "assistant", "uuid": "3", "parentUuid": "2", "message": said},
        ],
    )
    assert [(event["kind"], event["text"]) for event in chats.history(engine, chat)] == [
        ("Prompt", "One."),
        ("Prompt", "Two."),
        ("TextDelta", "Both."),
    ]
