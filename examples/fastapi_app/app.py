"""Chats with agents, for many users: `uvicorn fastapi_app.app:app`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from boocode_sessions import queries, run_sync
from boocode_sessions.agents import AgentEvent, ClaudeAgentSession, ClaudeSdkBackend

from .models import Chat
from .settings import database_url
from .users import (
    User,
    agent_chat_id,
    forget,
    options_of_chat,
    project_key_of,
    project_key_of_chat,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open one engine and one backend for the process. On shutdown every agent ends."""
    engine = create_async_engine(database_url())
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    agents = ClaudeSdkBackend(engine, options_of_chat, project_key=project_key_of_chat)
    async with agents as app.state.agents:
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield a session that is committed at the end, or rolled back by an exception."""
    async with request.app.state.sessions.begin() as db:
        yield db


Db = Annotated[AsyncSession, Depends(session)]


class Title(BaseModel):
    title: str


class Prompt(BaseModel):
    prompt: str


@app.post("/chats")
async def start(user: User, db: Db, given: Title) -> dict[str, str]:
    chat = Chat(id=str(uuid4()), user=user, title=given.title)
    db.add(chat)
    return {"id": chat.id, "title": chat.title}


@app.get("/chats")
async def chats(user: User, db: Db) -> list[dict[str, str]]:
    found = await db.scalars(select(Chat).where(Chat.user == user).order_by(Chat.title))
    return [{"id": chat.id, "title": chat.title} for chat in found]


@app.get("/sessions")
async def sessions(user: User, db: Db) -> list[queries.SessionRow]:
    """Return the sessions of the user's agents: titles, counts, times."""
    return await run_sync(queries.sessions, db, project_key=project_key_of(user))


async def own_chat(chat_id: str, user: User, db: Db) -> Chat:
    """Return a chat of this user. Another user's chat gives 404."""
    chat = await db.get(Chat, chat_id)
    if chat is None or chat.user != user:
        raise HTTPException(404, "no such chat")
    return chat


OwnChat = Annotated[Chat, Depends(own_chat)]


@app.get("/chats/{chat_id}")
async def read(chat: OwnChat, db: Db) -> list[dict[str, Any]]:
    """Return the chat's conversation, as a resume would see it."""
    of_chat = ClaudeAgentSession.chat_id == agent_chat_id(chat.user, chat.id)
    session_id = await db.scalar(select(ClaudeAgentSession.session_id).where(of_chat))
    if session_id is None:
        return []
    said = await run_sync(queries.conversation, db, session_id, project_key=project_key_of(chat.user))
    return [{"role": message.role, "text": message.text} for message in said]


@app.post("/chats/{chat_id}/prompts")
async def answer(chat: OwnChat, given: Prompt, request: Request) -> StreamingResponse:
    """Stream the agent's answer as server-sent events. A client that disconnects interrupts the turn."""
    agents: ClaudeSdkBackend = request.app.state.agents
    events = agents.send(agent_chat_id(chat.user, chat.id), given.prompt)
    return StreamingResponse(_sent(events), media_type="text/event-stream")


async def _sent(events: AsyncIterator[AgentEvent]) -> AsyncIterator[str]:
    async for event in events:
        yield f"event: {type(event).__name__}\ndata: {json.dumps(asdict(event), default=str)}\n\n"


@app.delete("/me")
async def leave(user: User, db: Db, request: Request) -> dict[str, int]:
    """Delete everything of the user: chats, sessions, agents."""
    agents: ClaudeSdkBackend = request.app.state.agents
    for chat_id in await db.scalars(select(Chat.id).where(Chat.user == user)):
        await agents.close(agent_chat_id(user, chat_id))
    return {"sessions": await forget(db, user)}
