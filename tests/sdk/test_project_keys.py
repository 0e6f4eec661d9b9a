"""Users of one process, whose agents work in one folder, do not get each other's sessions."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import InvalidKeyError, SessionKey
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
