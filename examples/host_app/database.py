"""The application's engine and sessions. In FastAPI, `session` would be a dependency."""

import os
from collections.abc import Generator
from functools import cache

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from boocode_sessions.sdk import SQLAlchemySessionStore

from .models import PROJECT_KEY


def url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite:///host_app.db")


@cache
def engine(at: str) -> Engine:
    return create_engine(at)


def session() -> Generator[Session]:
    """Yield a session that is committed at the end, or rolled back by an exception."""
    with sessionmaker(engine(url())).begin() as db:
        yield db


@cache
def store_over(engine: Engine) -> SQLAlchemySessionStore:
    """Return the process's one store, for the agents of all chats. Use `session_store_flush="eager"` with it.

    Without our own project key, the SDK would derive one from the agent's folder, and `Chat.transcript` would
    not find the sessions.
    """
    return SQLAlchemySessionStore(engine, project_key=PROJECT_KEY)
