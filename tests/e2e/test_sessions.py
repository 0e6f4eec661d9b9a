"""The SDK's helpers for lists, titles, tags, forks and deletion, on a session that a real agent wrote."""

import pytest
from claude_agent_sdk import (
    ResultError,
    delete_session_via_store,
    fold_session_summary,
    fork_session_via_store,
    get_session_info_from_store,
    get_session_messages_from_store,
    list_sessions_from_store,
    rename_session_via_store,
    tag_session_via_store,
)

from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI
from tests.e2e.stores import WatchedStore
from tests.fixtures.databases import on_postgresql, on_sqlite

pytestmark = pytest.mark.anyio


@on_postgresql
async def test_listing_sessions_loads_no_transcript(agent: Agent, store: WatchedStore) -> None:
    directory = str(agent.project)
    turn = await agent.turn("The first.", store)
    fork = await fork_session_via_store(store, turn.session_id, directory, title="A fork")
    await rename_session_via_store(store, turn.session_id, "A title", directory)
    store.loaded.clear()

    listed = await list_sessions_from_store(store, directory)
    assert store.loaded == []
    assert {(session.session_id, session.summary, session.first_prompt) for session in listed} == {
        (turn.session_id, "A title", "The first."),
        (fork.session_id, "A fork", "The first."),
    }


@on_sqlite
async def test_a_summary_is_the_fold_of_the_whole_transcript(agent: Agent, store: WatchedStore) -> None:
    turn = await agent.turn("The first.", store)
    await tag_session_via_store(store, turn.session_id, "a-tag", str(agent.project))
    key = agent.key(turn)
    loaded = await store.load(key)
    assert loaded is not None
    [summary] = await store.list_session_summaries(agent.project_key)
    [listed] = await store.list_sessions(agent.project_key)
    assert summary["data"] == fold_session_summary(None, key, loaded)["data"]
    assert summary["mtime"] >= listed["mtime"]


@on_sqlite
async def test_a_renamed_and_tagged_session_says_so_and_resumes(
    agent: Agent, api: MessagesAPI, store: WatchedStore
) -> None:
    directory = str(agent.project)
    turn = await agent.turn("The first.", store)
    await rename_session_via_store(store, turn.session_id, "A title", directory)
    await tag_session_via_store(store, turn.session_id, "a-tag", directory)
    await agent.turn("The second.", store, resume=turn.session_id)

    info = await get_session_info_from_store(store, turn.session_id, directory)
    assert info is not None
    assert (info.custom_title, info.tag, info.first_prompt) == ("A title", "a-tag", "The first.")
    [listed] = await list_sessions_from_store(store, directory)
    assert (listed.custom_title, listed.tag, listed.first_prompt) == ("A title", "a-tag", "The first.")
    assert ("user", "The first.") in api.last.conversation


@on_postgresql
async def test_a_fork_goes_its_own_way(agent: Agent, api: MessagesAPI, store: WatchedStore) -> None:
    directory = str(agent.project)
    turn = await agent.turn("The first.", store)
    original = await store.load(agent.key(turn))
    fork = await fork_session_via_store(store, turn.session_id, directory, title="The fork")
    await agent.turn("Only in the fork.", store, resume=fork.session_id)

    assert api.last.conversation[:2] == [("user", "The first."), ("assistant", "You said: The first.")]
    assert await store.load(agent.key(turn)) == original
    messages = await get_session_messages_from_store(store, fork.session_id, directory)
    assert [message.type for message in messages] == ["user", "assistant", "user", "assistant"]
    listed = await list_sessions_from_store(store, directory)
    titles = {session.session_id: session.custom_title for session in listed}
    assert titles == {turn.session_id: None, fork.session_id: "The fork"}


@on_postgresql
async def test_a_deleted_session_is_gone_and_its_neighbour_is_not(agent: Agent, store: WatchedStore) -> None:
    directory = str(agent.project)
    turn = await agent.turn("The first.", store)
    neighbour = await fork_session_via_store(store, turn.session_id, directory)
    await delete_session_via_store(store, turn.session_id, directory)

    assert await get_session_info_from_store(store, turn.session_id, directory) is None
    assert await get_session_messages_from_store(store, turn.session_id, directory) == []
    assert [session.session_id for session in await list_sessions_from_store(store, directory)] == [
        neighbour.session_id
    ]
    with pytest.raises(ResultError, match=f"No conversation found with session ID: {turn.session_id}"):
        await agent.turn("Are you there?", store, resume=turn.session_id)
