"""A wrong argument is refused before anything is done, with one sentence that says what it has to be."""

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions import (
    AsyncClaudeSessionRepository,
    ClaudeSessionRepository,
    InvalidKeyError,
    following,
    jsonl,
    queries,
    run_sync,
    streaming,
)
from boocode_sessions.agents import ClaudeSdkBackend, Limits
from boocode_sessions.privacy import Encryption, generate_key, reencrypt
from boocode_sessions.redaction import Redactor
from boocode_sessions.sdk import SQLAlchemySessionStore

KEY = {"project_key": "p", "session_id": "s"}
LINES = ['{"type":"user","n":1}', '{"type":"user","n":2}']
CONTENT = "what was said in confidence"
PUBLIC = (
    "adoption",
    "agents.integrity",
    "agents.protocol",
    "agents.resuming",
    "following",
    "jsonl",
    "migrations",
    "migrations.host",
    "pages",
    "privacy",
    "queries",
    "retention",
    "site",
    "status",
    "streaming",
    "telemetry",
)
MAKERS = (
    AsyncClaudeSessionRepository,
    ClaudeSdkBackend,
    ClaudeSessionRepository,
    Encryption,
    Redactor,
    SQLAlchemySessionStore,
)
LATER = {"bind", "engine", "key", "session", "tenant"}
"""Refused where they are used, with a text of their own."""
OTHERS = {
    "find_ini",
    "find_missing",
    "hashed",
    "list_prices",
    "page_name",
    "targeting",
    "write_revision",
}
"""Functions that check nothing, or by themselves."""


class Secret:
    """Of no type that anything takes; whoever shows it has shown content."""

    def __repr__(self) -> str:
        return CONTENT


def public_functions() -> Iterator[Callable[..., Any]]:
    for name in PUBLIC:
        module = import_module(f"boocode_sessions.{name}")
        for public in getattr(module, "__all__", vars(module)):
            found = getattr(module, public)
            ours = getattr(found, "__module__", "").startswith(f"boocode_sessions.{name}")
            if inspect.isfunction(found) and ours and not public.startswith("_") and public not in OTHERS:
                yield found
    yield from MAKERS


def parameters() -> list[Any]:
    return [
        pytest.param(function, name, id=f"{function.__module__.partition('.')[2]}.{function.__name__}-{name}")
        for function in public_functions()
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in LATER and parameter.annotation is not Any
    ]


@pytest.mark.parametrize(("function", "name"), parameters())
def test_every_parameter_of_every_public_function(function: Callable[..., Any], name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is (an? |text|bytes).*, not Secret$") as caught:
        function(**{name: Secret()})
    assert CONTENT not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"encryption": "abc"}, {"project_key": 5}, {"schema": 5}])
def test_a_store_is_refused_when_it_is_made(engine: Engine, wrong: dict[str, Any]) -> None:
    [name] = wrong
    for maker in (SQLAlchemySessionStore, ClaudeSdkBackend):
        with pytest.raises(TypeError, match=rf"^{name} is "):
            maker(engine, **wrong)


@pytest.mark.parametrize("key", ["", "a\0b"])
def test_a_stores_project_key_has_to_be_one(engine: Engine, key: str) -> None:
    for maker in (SQLAlchemySessionStore, ClaudeSdkBackend):
        with pytest.raises(InvalidKeyError, match=r"^project_key "):
            maker(engine, project_key=key)


def test_a_bind_that_makes_no_session_is_named(engine: Engine) -> None:
    makers: list[Any] = [dict, lambda: 5, lambda: engine]
    for maker in makers:
        with pytest.raises(TypeError, match=r"^bind is a function that makes a Session, not a "):
            ClaudeSessionRepository(maker).load(KEY)
        with pytest.raises(TypeError, match=r"^bind is a function that makes a Session, not a "):
            queries.sessions(maker)


@pytest.mark.parametrize("ask", [queries.conversation, queries.as_html, queries.find_session])
def test_an_id_that_names_nothing_is_named(engine: Engine, ask: Callable[..., Any]) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user", "message": {"content": CONTENT}}])
    for wrong in ("", "a\0b"):
        with pytest.raises(InvalidKeyError, match=r"^session_id "):
            ask(engine, wrong)
        with pytest.raises(InvalidKeyError, match=r"^project_key "):
            ask(engine, "s", project_key=wrong)


@pytest.mark.parametrize("name", ["project_key", "session_id"])
def test_a_filter_that_can_match_nothing_is_named(engine: Engine, tmp_path: Path, name: str) -> None:
    wrong: dict[str, Any] = {name: ""}
    asked: list[Callable[[], Any]] = [
        lambda: queries.search(engine, "rain", **wrong),
        lambda: queries.tools(engine, **wrong),
        lambda: queries.tool_calls(engine, **wrong),
        lambda: queries.usage(engine, **wrong),
        lambda: jsonl.export_tree(engine, tmp_path, **wrong),
    ]
    for ask in asked:
        with pytest.raises(InvalidKeyError, match=rf"^{name} is empty"):
            ask()


def test_prices_have_to_be_prices(engine: Engine) -> None:
    wrong: Any = {"claude": 5}
    with pytest.raises(TypeError, match=r"queries.Price"):
        queries.usage(engine, prices=wrong)


def test_numbers_that_do_nothing_are_refused(engine: Engine, tmp_path: Path) -> None:
    ClaudeSessionRepository(engine).append(KEY, [{"type": "user"}])
    with pytest.raises(ValueError, match=r"^workers is 1 or more, not -1$"):
        jsonl.export_tree(engine, tmp_path, workers=-1)
    mistakes: list[dict[str, Any]] = [{"batch_rows": 0}, {"pause": -1}]
    for wrong in mistakes:
        with pytest.raises(ValueError, match="or more, not"):
            reencrypt(engine, Encryption([generate_key()]), **wrong)
    with pytest.raises(ValueError, match=r"^limit is 0 or more"):
        queries.search(engine, "rain", limit=-1)
    with pytest.raises(ValueError, match=r"^lines is 0 or more"):
        following.cursor_before(engine, KEY, -1)


def test_limits_with_which_nothing_could_run_are_refused() -> None:
    wrong: Any = "8"
    with pytest.raises(TypeError, match=r"^max_warm is a number, not str$"):
        Limits(max_warm=wrong)
    with pytest.raises(ValueError, match=r"^max_warm is 1 or more, not 0$"):
        Limits(max_warm=0)
    with pytest.raises(ValueError, match=r"^turn_seconds is 0 or more, not -1$"):
        Limits(turn_seconds=-1)
    with pytest.raises(ValueError, match=r"^idle_seconds is 0 or more, not nan$"):
        Limits(idle_seconds=float("nan"))
    for name in ("start_seconds", "turn_seconds", "lease_seconds", "database_seconds"):
        with pytest.raises(ValueError, match=f"^{name} is more than 0$"):
            Limits(**{name: 0})


def test_a_set_does_for_a_list(engine: Engine) -> None:
    names: Any = {"day"}
    assert queries.usage(engine, by=names) == []


def test_a_stream_is_refused_when_it_is_asked_for(engine: Engine) -> None:
    wrong: Any = "abc"
    with pytest.raises(TypeError, match=r"^encryption is a privacy.Encryption or None, not str$"):
        streaming.iterate(engine, KEY, encryption=wrong)


@pytest.mark.anyio
async def test_run_sync_takes_the_function_first(async_engine: AsyncEngine) -> None:
    wrong: Any = async_engine
    with pytest.raises(TypeError, match=r"^function is a callable such as queries.sessions, not AsyncEngine"):
        await run_sync(wrong, async_engine)
