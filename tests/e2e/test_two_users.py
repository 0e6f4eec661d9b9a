"""Two users of one program, whose agents work in one folder."""

import pytest
from claude_agent_sdk import list_sessions_from_store
from sqlalchemy import Engine

from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.e2e.agent import Agent

pytestmark = pytest.mark.anyio


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
