"""The store is the SDK's `SessionStore` for the type checkers, without a cast; mypy and pyright read this."""

from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, SessionStore
from sqlalchemy import create_engine

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository, SessionKey, retention
from boocode_sessions.sdk import SQLAlchemySessionStore


def options_over(url: str) -> ClaudeAgentOptions:
    store: SessionStore = SQLAlchemySessionStore(create_engine(url))
    return ClaudeAgentOptions(session_store=store)


def append_plain_dicts(repository: ClaudeSessionRepository) -> None:
    repository.append(
        {"project_key": "p", "session_id": "s", "subpath": "subagents/agent-1"},
        [{"type": "user", "message": {"role": "user", "content": "hello"}}],
    )


def append_with_keys_of_any_kind(repository: ClaudeSessionRepository) -> None:
    plain = {"project_key": "p", "session_id": "s"}
    of_the_host: dict[str, str | None] = {"project_key": "p", "session_id": "s", "subpath": None}
    typed: SessionKey = {"project_key": "p", "session_id": "s"}
    for key in (plain, of_the_host, typed):
        repository.append(key, [{"type": "user"}])
        repository.delete(key)
    retention.hold(create_engine("sqlite://"), plain)
    assert repository.list_subkeys(plain) == []


def loaded(repository: ClaudeSessionRepository) -> list[dict[str, Any]] | None:
    return repository.load({"project_key": "p", "session_id": "s"})


async def loaded_by_all(
    repository: AsyncClaudeSessionRepository, store: SQLAlchemySessionStore
) -> list[dict[str, Any]]:
    key = {"project_key": "p", "session_id": "s"}
    lines: list[dict[str, Any]] = await store.load(key) or []
    return lines + (await repository.load(key) or [])


def test_the_sdk_takes_the_store_as_it_is() -> None:
    assert isinstance(options_over("sqlite://").session_store, SQLAlchemySessionStore)
