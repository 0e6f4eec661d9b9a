"""Users of one process, whose agents work in one folder, do not get each other's sessions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import claude_agent_sdk as sdk
import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions import InvalidKeyError, SessionKey, queries
from boocode_sessions.sdk import SQLAlchemySessionStore

pytestmark = pytest.mark.anyio

KEY: SessionKey = {"project_key": "-srv-app", "session_id": "s"}
SUBKEY: SessionKey = {**KEY, "subpath": "subagents/agent-1"}


def entry(text: str) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": text}}


def of_user(name: str) -> Callable[[str], str]:
    return lambda key: f"{name}/{key}"


async def test_every_method_stays_within_the_users_own_key(engine: Engine) -> None:
    ada = SQLAlchemySessionStore(engine, project_key=of_user("ada"))
    bob = SQLAlchemySessionStore(engine, project_key=of_user("bob"))
    await ada.append(KEY, [entry("my secret")])
    await ada.append(SUBKEY, [entry("of a subagent")])
    assert await bob.load(KEY) is None
    assert await bob.load(SUBKEY) is None
    assert await bob.list_sessions("-srv-app") == []
    assert await bob.list_session_summaries("-srv-app") == []
    assert await bob.list_subkeys(KEY) == []
    await bob.delete(KEY)
    assert await ada.load(KEY) == [entry("my secret")]
    assert [session["session_id"] for session in await ada.list_sessions("-srv-app")] == ["s"]
    assert len(await ada.list_session_summaries("-srv-app")) == 1
    assert await ada.list_subkeys(KEY) == ["subagents/agent-1"]


async def test_a_fixed_key_replaces_the_sdks(engine: Engine) -> None:
    store = SQLAlchemySessionStore(engine, project_key="user-42")
    await store.append(KEY, [entry("hello")])
    assert await store.load({**KEY, "project_key": "elsewhere"}) == [entry("hello")]
    assert store.project_key("anything") == "user-42"
    assert await SQLAlchemySessionStore(engine).load({**KEY, "project_key": "user-42"}) == [entry("hello")]


async def test_a_key_that_is_none_is_refused(engine: Engine) -> None:
    store = SQLAlchemySessionStore(engine, project_key=lambda _: "")
    with pytest.raises(InvalidKeyError):
        await store.append(KEY, [entry("hello")])
    with pytest.raises(InvalidKeyError):
        await store.list_sessions("-srv-app")


@pytest.mark.parametrize("project_key", ["user-42", lambda key: f"ada/{key}"], ids=["fixed", "a function"])
@pytest.mark.parametrize("key", [{"session_id": "s"}, {"project_key": 5, "session_id": "s"}, "s", None])
async def test_what_is_no_key_is_refused_as_without_a_project_key(
    engine: Engine, project_key: Any, key: Any
) -> None:
    store = SQLAlchemySessionStore(engine, project_key=project_key)
    for call in (store.load, store.list_subkeys, store.delete):
        with pytest.raises(InvalidKeyError):
            await call(key)
    with pytest.raises(InvalidKeyError):
        await store.append(key, [entry("hello")])


@pytest.mark.parametrize("project_key", [None, "user-42", lambda key: f"ada/{key}"])
@pytest.mark.parametrize("given", ["", None, 5, "a\0", "\ud800"])
async def test_a_listing_of_what_is_no_key_is_refused_likewise(
    engine: Engine, project_key: Any, given: Any
) -> None:
    store = SQLAlchemySessionStore(engine, project_key=project_key)
    for call in (store.list_sessions, store.list_session_summaries):
        with pytest.raises(InvalidKeyError):
            await call(given)
    with pytest.raises(InvalidKeyError):
        await store.load({"project_key": given, "session_id": "s"})


@pytest.mark.parametrize(
    "made", [lambda _: None, lambda _: 5, lambda _: b"x", lambda _: "a\0", lambda k: k * 2000]
)
async def test_a_function_that_makes_no_key_is_refused_by_every_method(engine: Engine, made: Any) -> None:
    for tenant in (None, "acme"):
        store = SQLAlchemySessionStore(engine, project_key=made, tenant=tenant)
        calls = (store.load, store.list_subkeys, store.delete)
        for call in (*(partial(one, KEY) for one in calls), partial(store.append, KEY, [entry("hello")])):
            with pytest.raises(InvalidKeyError):
                await call()
        for listing in (store.list_sessions, store.list_session_summaries):
            with pytest.raises(InvalidKeyError):
                await listing("-srv-app")
    assert queries.projects(engine) == []


@pytest.fixture(params=["Engine", "AsyncEngine"])
def bind(request: pytest.FixtureRequest, engine: Engine, async_engine: AsyncEngine) -> Engine | AsyncEngine:
    return engine if request.param == "Engine" else async_engine


@pytest.mark.parametrize("scope", ["project_key", "tenant"])
async def test_the_sdks_helpers_reach_the_users_own_sessions_only(
    bind: Engine | AsyncEngine, scope: str, tmp_path: Path
) -> None:
    def store_of(user: str) -> SQLAlchemySessionStore:
        if scope == "tenant":
            return SQLAlchemySessionStore(bind, tenant=user)
        return SQLAlchemySessionStore(bind, project_key=of_user(user))

    ada, bob, folder = store_of("ada"), store_of("bob"), str(tmp_path)
    session_id = str(uuid4())
    key: SessionKey = {"project_key": sdk.project_key_for_directory(folder), "session_id": session_id}
    said = {**entry("my secret"), "uuid": str(uuid4()), "sessionId": session_id, "parentUuid": None}
    await ada.append(key, [said])
    await ada.append({**key, "subpath": "subagents/agent-a1"}, [{**said, "agentId": "a1"}])

    assert await sdk.list_sessions_from_store(bob, folder) == []
    assert await sdk.get_session_info_from_store(bob, session_id, folder) is None
    assert await sdk.get_session_messages_from_store(bob, session_id, folder) == []
    assert await sdk.list_subagents_from_store(bob, session_id, folder) == []
    assert await sdk.get_subagent_messages_from_store(bob, session_id, "a1", folder) == []
    with pytest.raises(FileNotFoundError):
        await sdk.fork_session_via_store(bob, session_id, folder)
    await sdk.delete_session_via_store(bob, session_id, folder)
    # The SDK writes a title or a tag to whatever id it is given: into a session of Bob's.
    await sdk.rename_session_via_store(bob, session_id, "stolen", folder)
    await sdk.tag_session_via_store(bob, session_id, "stolen", folder)
    assert await ada.load(key) == [said]

    (listed,) = await sdk.list_sessions_from_store(ada, folder)
    assert (listed.first_prompt, listed.custom_title, listed.tag) == ("my secret", None, None)
    assert await sdk.list_subagents_from_store(ada, session_id, folder) == ["a1"]
    assert len(await sdk.get_subagent_messages_from_store(ada, session_id, "a1", folder)) == 1
    forked = await sdk.fork_session_via_store(ada, session_id, folder)
    assert {one.session_id for one in await sdk.list_sessions_from_store(ada, folder)} == {
        session_id,
        forked.session_id,
    }
    await sdk.delete_session_via_store(ada, session_id, folder)
    assert await ada.load(key) is None
