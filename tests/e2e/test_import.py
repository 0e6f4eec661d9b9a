"""The SDK's import of the agent's local files, into a store that has mirrored them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from claude_agent_sdk import SessionStoreEntry, import_session_to_store

from tests.e2e.agent import Agent, Turn
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.e2e.stores import WatchedStore
from tests.fixtures.databases import on_postgresql

pytestmark = pytest.mark.anyio


def delegate(request: MessagesRequest) -> list[Block]:
    if request.kind == "main" and not request.answers_a_tool:
        task = {"description": "look", "prompt": "Look.", "subagent_type": "general-purpose"}
        return [call("Agent", **task, run_in_background=False)]
    return [say("Done.")]


async def transcripts(store: WatchedStore, agent: Agent, turn: Turn) -> dict[str, list[SessionStoreEntry]]:
    """What a session holds: entries by subpath, the main transcript's under ''."""
    main = agent.key(turn)
    found = {"": await store.load(main) or []}
    for subpath in await store.list_subkeys(main):
        found[subpath] = await store.load({**main, "subpath": subpath}) or []
    return found


def identified(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if "uuid" in entry]


def unidentified(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if "uuid" not in entry]


@on_postgresql
async def test_importing_what_was_mirrored_doubles_nothing_with_a_uuid(
    agent: Agent, api: MessagesAPI, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.script = delegate
    turn = await agent.turn("Delegate.", store)
    mirrored = await transcripts(store, agent, turn)
    store.appended.clear()

    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(turn.config))
    await import_session_to_store(turn.session_id, store, directory=str(agent.project))
    imported = await transcripts(store, agent, turn)
    assert len(imported) == len(mirrored) == 2
    for subpath, entries in imported.items():
        appends = [batch for key, batch in store.appended if key.get("subpath", "") == subpath]
        sent = [entry for batch in appends for entry in batch]
        assert identified(entries) == identified(mirrored[subpath]) == identified(sent)
        # A line without a uuid has no identity: by the contract it is appended again.
        assert unidentified(entries) == unidentified(mirrored[subpath]) + unidentified(sent)

    await agent.turn("And then?", store, resume=turn.session_id)
    assert [text for role, text in api.last.conversation if role == "user"].count("Delegate.") == 1
