"""The application's operations. Each function is part of its caller's unit of work."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from boocode_sessions import ClaudeSessionEntry, ClaudeSessionRepository, SessionKey

from .models import PROJECT_KEY, Chat


def key_of(chat: Chat) -> SessionKey:
    return {"project_key": PROJECT_KEY, "session_id": chat.session_id}


def start_chat(db: Session, title: str, session_id: str, entries: list[dict[str, Any]]) -> Chat:
    """Store a new chat and the first entries of its session: both or neither."""
    chat = Chat(title=title, session_id=session_id)
    db.add(chat)
    db.flush()
    ClaudeSessionRepository(db).append(key_of(chat), entries)
    return chat


def drop_chat(db: Session, chat: Chat) -> None:
    """Delete the chat and its whole session."""
    ClaudeSessionRepository(db).delete(key_of(chat))
    db.delete(chat)


def busiest_chats(db: Session, most: int = 10) -> list[tuple[str, int]]:
    """Return titles and numbers of entries, in one query over the application's table and ours."""
    entries = func.count(ClaudeSessionEntry.id)
    joined = (ClaudeSessionEntry.session_id == Chat.session_id) & (
        ClaudeSessionEntry.project_key == PROJECT_KEY
    )
    rows = db.execute(
        select(Chat.title, entries)
        .join(ClaudeSessionEntry, joined)
        .group_by(Chat.id)
        .order_by(entries.desc())
    )
    return [(title, many) for title, many in rows.fetchmany(most)]
