"""What belongs to one user. Nothing here takes a user's name, a folder or a project key from a request."""

import shutil
from pathlib import Path
from typing import Annotated

from claude_agent_sdk import ClaudeAgentOptions, project_key_for_directory
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from boocode_sessions import AsyncClaudeSessionRepository, queries, run_sync
from boocode_sessions.agents import ClaudeAgentSession

from .models import Chat
from .settings import tokens, workspaces


def current_user(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    user = tokens().get(sent.credentials)
    if user is None:
        raise HTTPException(401, "unknown token")
    return user


User = Annotated[str, Depends(current_user)]


def workspace_of(user: str) -> Path:
    """The user's own folder: the SDK makes the project key of it."""
    folder = workspaces() / user
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def project_key_of(user: str) -> str:
    """Under which all sessions of the user's agents are stored, and nobody else's."""
    return project_key_for_directory(workspace_of(user))


def agent_chat_id(user: str, chat_id: str) -> str:
    """What the agents know a chat by."""
    return f"{user}/{chat_id}"


def options_of(agent_chat: str, _agent: str) -> ClaudeAgentOptions:
    """Of one chat's agent. Each line is stored as it comes: the backend flushes eagerly."""
    user = agent_chat.partition("/")[0]
    return ClaudeAgentOptions(cwd=workspace_of(user), setting_sources=[], permission_mode="acceptEdits")


async def forget(db: AsyncSession, user: str) -> int:
    """Delete everything of a user, in the caller's transaction. Returns how many sessions there were."""
    project_key = project_key_of(user)
    repository = AsyncClaudeSessionRepository(db)
    sessions = await run_sync(queries.sessions, db, project_key=project_key, limit=None)
    for session in sessions:
        await repository.delete({"project_key": project_key, "session_id": session.session_id})
    await db.execute(delete(ClaudeAgentSession).where(ClaudeAgentSession.project_key == project_key))
    await db.execute(delete(Chat).where(Chat.user == user))
    shutil.rmtree(workspace_of(user))
    return len(sessions)
