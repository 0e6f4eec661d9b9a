"""The application: `create_app(engine, options)`. `python -m examples.chat_app` serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
from claude_agent_sdk import ClaudeAgentOptions
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from starlette.middleware.trustedhost import TrustedHostMiddleware

from boocode_sessions import migrations
from boocode_sessions.agents import (
    AgentBackend,
    AgentEvent,
    ClaudeSdkBackend,
    NoTurnError,
    PermissionAnsweredError,
    UnknownPermissionError,
)
from examples.chat_app import chats
from examples.chat_app.conversations import Conversations
from examples.chat_app.models import Base

PAGE = Path(__file__).with_name("page.html")
RETRY_MS = 500
"""How long a tab that has lost its connection waits before it reconnects."""


class NewChat(BaseModel):
    """The body of a request for a new chat."""

    title: str = Field(min_length=1, max_length=200)


class Prompt(BaseModel):
    """The body of a request with a prompt."""

    text: str = Field(min_length=1)


class Answer(BaseModel):
    """The user's answer to a permission request."""

    allow: bool


def create_app(engine: Engine, options: ClaudeAgentOptions) -> FastAPI:
    """Create the application. On startup it creates its tables in the database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        migrations.upgrade(engine)
        Base.metadata.create_all(engine)

        def hear(chat_id: str, _agent: str, event: AgentEvent) -> None:
            conversations.hear(chat_id, event)

        async with (
            ClaudeSdkBackend(engine, options, on_background=hear) as backend,
            anyio.create_task_group() as tasks,
        ):
            conversations = Conversations(engine, backend, tasks)
            app.state.engine, app.state.backend, app.state.conversations = engine, backend, conversations
            yield
            tasks.cancel_scope.cancel()  # interrupts the turns; what they have done so far is stored

    app = FastAPI(title="Chats", lifespan=lifespan)
    # Agents obey this server, so a page under another host name must not reach it through the user's browser.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    _add_routes(app)
    return app


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _backend(request: Request) -> AgentBackend:
    backend: AgentBackend = request.app.state.backend
    return backend


def _conversations(request: Request) -> Conversations:
    conversations: Conversations = request.app.state.conversations
    return conversations


TheEngine = Annotated[Engine, Depends(_engine)]
TheBackend = Annotated[AgentBackend, Depends(_backend)]
TheConversations = Annotated[Conversations, Depends(_conversations)]


def _known_chat(chat_id: str, engine: TheEngine) -> str:
    if not chats.has_chat(engine, chat_id):
        raise HTTPException(404, "no such chat")
    return chat_id


KnownChat = Annotated[str, Depends(_known_chat)]


def _add_routes(app: FastAPI) -> None:
    app.get("/")(page)
    app.get("/chats")(list_chats)
    app.post("/chats", status_code=201)(add_chat)
    app.get("/chats/{chat_id}/events", response_class=EventSourceResponse)(follow)
    app.post("/chats/{chat_id}/prompts", status_code=202)(say)
    app.post("/chats/{chat_id}/interrupt", status_code=204)(interrupt)
    app.post("/permissions/{request_id}", status_code=204)(answer)


def page() -> FileResponse:
    """Return the page."""
    return FileResponse(PAGE)


def list_chats(engine: TheEngine) -> list[dict[str, Any]]:
    """Return all chats with their cost."""
    return chats.list_chats(engine)


def add_chat(chat: NewChat, engine: TheEngine) -> dict[str, str]:
    """Begin a chat. Its agent starts with its first prompt."""
    return {"id": chats.add_chat(engine, chat.title)}


async def follow(
    chat_id: KnownChat, conversations: TheConversations, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[ServerSentEvent]:
    """Stream a chat's events: all of them, or those after the last one that the browser saw."""
    async with conversations.open(chat_id) as log:
        async for entry in log.follow(last_event_id):
            yield ServerSentEvent(data=entry.event, id=entry.id, retry=RETRY_MS)


async def say(chat_id: KnownChat, prompt: Prompt, conversations: TheConversations) -> None:
    """Send the agent a prompt. Its answer comes as events."""
    await conversations.say(chat_id, prompt.text)


async def interrupt(chat_id: KnownChat, backend: TheBackend) -> None:
    """End the running turn."""
    try:
        await backend.interrupt(chat_id)
    except NoTurnError as error:
        raise HTTPException(409, str(error)) from None


async def answer(request_id: str, answer: Answer, backend: TheBackend) -> None:
    """Allow or deny a tool. The first tab to answer decides."""
    try:
        backend.answer(request_id, allow=answer.allow)
    except PermissionAnsweredError as error:
        raise HTTPException(409, str(error)) from None
    except UnknownPermissionError as error:
        raise HTTPException(404, str(error)) from None
