"""Everything that depends on the user. The user comes from the login, never from a request."""

import shutil
from asyncio import to_thread
from typing import Annotated

from claude_agent_sdk import ClaudeAgentOptions
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from boocode_sessions import AsyncClaudeSessionRepository, queries, run_sync
from boocode_sessions.agents import ClaudeAgentSession

from .models import Chat
from .settings import agent_files, tokens, workspace


def current_user(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    user = tokens().get(sent.credentials)
    if user is None:
        raise HTTPException(401, "unknown token")
    return user


User = Annotated[str, Depends(current_user)]


def project_key_of(user: str) -> str:
    """Return the project key of this user's sessions, and of nobody else's."""
    return f"user-{user}"


def agent_chat_id(user: str, chat_id: str) -> str:
    """Return the backend's id of a chat."""
    return f"{user}/{chat_id}"


def project_key_of_chat(agent_chat: str, _key: str) -> str:
    """Return a chat's project key, for the backend. All users share the folder, and so the SDK's own key."""
    return project_key_of(agent_chat.partition("/")[0])


def options_of_chat(agent_chat: str, _agent: str) -> ClaudeAgentOptions:
    """Return a chat's options, for the backend: without the folder's settings and without tools.

    Tools would share the folder's files. Each user has a CLAUDE_CONFIG_DIR, because the agent also writes
    each session to a file there.
    """
    folder = agent_files() / agent_chat.partition("/")[0]
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"CLAUDE_CONFIG_DIR": str(folder)}
    return ClaudeAgentOptions(cwd=workspace(), setting_sources=[], tools=[], env=environment)


async def forget(db: AsyncSession, user: str) -> int:
    """Delete everything of a user, in the caller's transaction. Returns the number of sessions."""
    project_key = project_key_of(user)
    repository = AsyncClaudeSessionRepository(db)
    sessions = await run_sync(queries.sessions, db, project_key=project_key, limit=None)
    for session in sessions:
        await repository.delete({"project_key": project_key, "session_id": session.session_id})
    await db.execute(delete(ClaudeAgentSession).where(ClaudeAgentSession.project_key == project_key))
    await db.execute(delete(Chat).where(Chat.user == user))
    await to_thread(shutil.rmtree, agent_files() / user, ignore_errors=True)
    return len(sessions)
