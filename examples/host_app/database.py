"""The application's engine and sessions. `session()` is what FastAPI would be given as a dependency."""

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
    """One unit of work: committed at the end, rolled back by an exception."""
    with sessionmaker(engine(url())).begin() as db:
        yield db


@cache
def store_over(engine: Engine) -> SQLAlchemySessionStore:
    """What the agents of all chats write through, with `session_store_flush="eager"`; one for the process.

    Without a project key of ours, sessions would be under one that the SDK makes of the agent's folder, and a
    chat's `transcript` would not find them.
    """
    return SQLAlchemySessionStore(engine, project_key=PROJECT_KEY)
