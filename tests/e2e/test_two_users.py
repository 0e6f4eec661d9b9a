"""Two users of one program, whose agents work in one folder."""

from pathlib import Path

import pytest
from claude_agent_sdk import ClaudeAgentOptions, list_sessions_from_store
from sqlalchemy import Engine

from boocode_sessions.agents import resume_stored
from boocode_sessions.errors import UnknownSessionError
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI
from tests.fixtures.databases import on_postgresql, on_sqlite

pytestmark = pytest.mark.anyio


@on_postgresql
async def test_continue_goes_on_with_the_users_own_conversation(agent: Agent, engine: Engine) -> None:
    ada = SQLAlchemySessionStore(engine, project_key=lambda key: f"ada/{key}")
    bob = SQLAlchemySessionStore(engine, project_key=lambda key: f"bob/{key}")
    first = await agent.turn("My secret is a violin.", ada)
    other = await agent.turn("Hello.", bob, continue_conversation=True)
    assert other.session_id != first.session_id
    again = await agent.turn("What is my secret?", ada, continue_conversation=True)
    assert again.session_id == first.session_id
    transcript = await bob.load({"project_key": agent.project_key, "session_id": other.session_id})
    assert transcript
    assert "violin" not in str(transcript)
    listed = await list_sessions_from_store(bob, str(agent.project))
    assert [session.session_id for session in listed] == [other.session_id]


@on_sqlite
async def test_who_has_nothing_stored_does_not_get_it_from_the_agents_files(
    agent: Agent, api: MessagesAPI, engine: Engine, tmp_path: Path
) -> None:
    """The users' agents share a folder and CLAUDE_CONFIG_DIR, as in one process that sets neither."""
    shared = tmp_path / "config"
    shared.mkdir()
    ada, bob = (SQLAlchemySessionStore(engine, project_key=user) for user in ("ada", "bob"))

    first = await agent.turn("My secret is a violin.", ada, shared, resume_stored, continue_conversation=True)
    left = (shared / "projects").rglob(f"{first.session_id}.jsonl")
    assert list(left), "it is where another's agent could find it"

    with pytest.raises(UnknownSessionError, match=f"the store has no session '{first.session_id}' to resume"):
        await agent.turn("What was said?", bob, shared, resume_stored, resume=first.session_id)
    with pytest.raises(UnknownSessionError):
        await agent.turn("What was said?", ada, shared, resume_stored, resume="latest")
    other = await agent.turn("What was said?", bob, shared, resume_stored, continue_conversation=True)
    assert other.session_id != first.session_id
    assert "violin" not in str(api.last.conversation)

    again = await agent.turn("What is my secret?", ada, shared, resume_stored, continue_conversation=True)
    assert again.session_id == first.session_id
    assert ("user", "My secret is a violin.") in api.last.conversation
    third = await agent.turn("And again?", ada, shared, resume_stored, resume=first.session_id)
    assert third.session_id == first.session_id


@on_sqlite
async def test_options_that_resume_nothing_stay_as_they_are(engine: Engine) -> None:
    options = ClaudeAgentOptions(session_store=SQLAlchemySessionStore(engine))
    assert await resume_stored(options) is options
    with pytest.raises(ValueError, match="the options have no session_store"):
        await resume_stored(ClaudeAgentOptions())
