"""The application's engine and sessions. `session()` is what FastAPI would be given as a dependency."""

import os
from collections.abc import Generator
from functools import cache

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker


def url() -> str:
    return os.environ.get("DATABASE_URL", "sqlite:///host_app.db")


@cache
def engine(at: str) -> Engine:
    return create_engine(at)


def session() -> Generator[Session]:
    """One unit of work: committed at the end, rolled back by an exception."""
    with sessionmaker(engine(url())).begin() as db:
        yield db
