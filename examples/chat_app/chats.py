"""Reads and writes chats in the database."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, joinedload

from boocode_sessions.errors import UnknownSessionError
from boocode_sessions.queries import Message, conversation
from examples.chat_app.models import Chat


def add_chat(engine: Engine, title: str) -> str:
    """Store a new chat and return its id."""
    chat = Chat(id=uuid4().hex, title=title)
    with Session(engine) as db, db.begin():
        db.add(chat)
        return chat.id


def list_chats(engine: Engine) -> list[dict[str, Any]]:
    """Return the chats and their agents' cost, in one query over the application's table and ours."""
    with Session(engine) as db:
        chats = db.scalars(select(Chat).options(joinedload(Chat.agent)).order_by(Chat.title)).all()
        return [
            {
                "id": chat.id,
                "title": chat.title,
                "turns": chat.agent.turns if chat.agent else 0,
                "cost_usd": chat.agent.cost_usd if chat.agent else 0.0,
            }
            for chat in chats
        ]


def has_chat(engine: Engine, chat_id: str) -> bool:
    with Session(engine) as db:
        return db.get(Chat, chat_id) is not None


def history(engine: Engine, chat_id: str) -> list[dict[str, Any]]:
    """Return a chat's conversation as events, like those of its turns."""
    with Session(engine) as db:
        chat = db.scalars(select(Chat).filter_by(id=chat_id).options(joinedload(Chat.agent))).one()
    if chat.agent is None:
        return []
    try:
        messages = conversation(
            engine, chat.agent.session_id, project_key=chat.agent.project_key, queued=True
        )
    except UnknownSessionError:  # the chat's first turn has not written a line yet
        return []
    return [event for message in messages for event in _events(message)]


def _events(message: Message) -> list[dict[str, Any]]:
    if message.type == "attachment":  # sent while the agent was at work
        return [{"kind": "Prompt", "text": message.text}]
    content = message.entry["message"]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    events: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                events.append({"kind": "Prompt" if message.type == "user" else "TextDelta", "text": text})
            case {"type": "tool_use", "id": tool_use_id, "name": name, "input": arguments}:
                events.append(
                    {"kind": "ToolStarted", "tool_use_id": tool_use_id, "name": name, "input": arguments}
                )
            case {"type": "tool_result", "tool_use_id": tool_use_id}:
                events.append(
                    {
                        "kind": "ToolFinished",
                        "tool_use_id": tool_use_id,
                        "content": block.get("content"),
                        "is_error": bool(block.get("is_error")),
                    }
                )
            case _:
                pass
    return events
