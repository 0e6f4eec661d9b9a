"""What a repository or a store shows in a debugger, a log, a shell: its database, without what is secret."""

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository
from boocode_sessions.sdk import SQLAlchemySessionStore

URL = "postgresql+psycopg://ada:s3cret@db.example:5433/app?sslpassword=s3cret2&passfile=/s3cret3"
SHOWN = "postgresql+psycopg://ada:***@db.example:5433/app"


@pytest.fixture
def unreached() -> Engine:
    return create_engine(URL)


def test_a_repository_shows_its_database_and_its_schema(unreached: Engine) -> None:
    assert repr(ClaudeSessionRepository(unreached)) == f"<ClaudeSessionRepository over {SHOWN}>"
    in_schema = ClaudeSessionRepository(sessionmaker(unreached), schema="app")
    assert repr(in_schema) == f"<ClaudeSessionRepository over sessionmaker on {SHOWN}, schema 'app'>"
    over_session = ClaudeSessionRepository(Session(unreached))
    assert repr(over_session) == f"<ClaudeSessionRepository over Session on {SHOWN}>"
    scoped = ClaudeSessionRepository(scoped_session(sessionmaker(unreached)))
    assert repr(scoped) == f"<ClaudeSessionRepository over scoped_session on {SHOWN}>"


def test_an_asynchronous_one_likewise() -> None:
    engine = create_async_engine(URL)
    assert repr(AsyncClaudeSessionRepository(engine)) == f"<AsyncClaudeSessionRepository over {SHOWN}>"
    for bind in (async_sessionmaker(engine), AsyncSession(engine)):
        assert "s3cret" not in repr(AsyncClaudeSessionRepository(bind))


def test_a_store_shows_the_key_that_it_stores_under(unreached: Engine) -> None:
    assert repr(SQLAlchemySessionStore(unreached)) == f"<SQLAlchemySessionStore over {SHOWN}>"
    of_ada = SQLAlchemySessionStore(unreached, project_key="ada")
    assert repr(of_ada) == f"<SQLAlchemySessionStore over {SHOWN}, project_key 'ada'>"
    mapped = SQLAlchemySessionStore(unreached, project_key=lambda given: f"ada/{given}")
    assert repr(mapped) == f"<SQLAlchemySessionStore over {SHOWN}, project_key of a function>"


def test_whom_it_works_for_is_shown(unreached: Engine) -> None:
    shown = f"over {SHOWN}, tenant 'acme'"
    assert repr(ClaudeSessionRepository(unreached, tenant="acme")) == f"<ClaudeSessionRepository {shown}>"
    store = SQLAlchemySessionStore(unreached, tenant="acme", schema="app", project_key="ada")
    assert repr(store) == (
        f"<SQLAlchemySessionStore over {SHOWN}, schema 'app', tenant 'acme', project_key 'ada'>"
    )


def test_where_a_socket_is_stays_visible() -> None:
    engine = create_engine("postgresql+psycopg:///app?host=/run/postgresql&password=s3cret")
    assert repr(ClaudeSessionRepository(engine)).endswith(
        "over postgresql+psycopg:///app?host=/run/postgresql>"
    )
