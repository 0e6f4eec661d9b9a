"""The store is the SDK's `SessionStore` for the type checkers, without a cast; mypy and pyright read this."""

from claude_agent_sdk import ClaudeAgentOptions, SessionStore
from sqlalchemy import create_engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.sdk import SQLAlchemySessionStore


def options_over(url: str) -> ClaudeAgentOptions:
    store: SessionStore = SQLAlchemySessionStore(create_engine(url))
    return ClaudeAgentOptions(session_store=store)


def append_plain_dicts(repository: ClaudeSessionRepository) -> None:
    repository.append(
        {"project_key": "p", "session_id": "s", "subpath": "subagents/agent-1"},
        [{"type": "user", "message": {"role": "user", "content": "hello"}}],
    )


def test_the_sdk_takes_the_store_as_it_is() -> None:
    assert isinstance(options_over("sqlite://").session_store, SQLAlchemySessionStore)
