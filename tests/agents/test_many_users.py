"""Chats of many users over one backend and one folder: apart by project key, by tenant, and encrypted."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, select, text
from sqlalchemy.orm import Session

from boocode_sessions import (
    ClaudeSession,
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    InvalidKeyError,
    SessionKey,
    migrations,
)
from boocode_sessions._core.statements.append import Condition
from boocode_sessions.agents import AgentSessions, ClaudeAgentSession, Holder, SessionUnknownError
from boocode_sessions.agents.database import Database as AgentDatabase
from boocode_sessions.agents.integrity import check_session
from boocode_sessions.agents.store import FencedStore
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.privacy import Encryption, generate_key
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.agents.conftest import MakeBackend, told
from tests.attacks.test_rotation import everything_stored
from tests.e2e.agent import Agent
from tests.fixtures.databases import Database, drop_role, on_postgresql

pytestmark = pytest.mark.anyio

SAID = "My secret is a violin."
SESSION = "6f0c2f0e-5a39-4a4e-9a8c-0a4f5f1a0001"


@pytest.fixture
def encryption() -> Encryption:
    return Encryption([generate_key()])


@pytest.fixture
def app(database: Database, engine: Engine) -> Iterator[Engine]:
    """What the application may do: on PostgreSQL nothing without a tenant's name."""
    if database.dialect == "sqlite":
        yield engine
        return
    role = f"app_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
    migrations.protect_tenants(engine, role=role)
    with engine.begin() as connection:
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"))
    made = create_engine(make_url(database.url).update_query_dict({"options": f"-c role={role}"}))
    yield made
    made.dispose()
    drop_role(engine, role)


@on_postgresql
async def test_a_user_of_a_tenant_resumes_their_own_encrypted_chat(
    make_backend: MakeBackend, engine: Engine, app: Engine, agent: Agent, encryption: Encryption
) -> None:
    """All three at once, with the real agent."""
    scope: dict[str, Any] = {
        "project_key": lambda chat_id, key: f"{chat_id.partition('/')[0]}/{key}",
        "encryption": encryption,
        "tenant": "acme",
    }
    async with make_backend(app, **scope) as backend:
        await told(backend, "ada/1", SAID)
        await backend.close("ada/1")
        await told(backend, "ada/1", "Go on.")
        assert ("user", SAID) in agent.api.requests[-1].conversation
        assert backend.stored_chat_id("ada/1") == "tenant:acme/ada/1"
    stored = f"tenant:acme/ada/{agent.project_key}"
    with Session(engine) as db:
        row = db.get_one(ClaudeAgentSession, ("tenant:acme/ada/1", "claude"))
        assert (row.project_key, row.turns, row.state, row.incomplete) == (stored, 2, "idle", False)
        assert db.scalars(select(ClaudeSession.project_key)).all() == [stored]
    assert "violin" not in everything_stored(engine)
    read = ClaudeSessionRepository(engine, encryption=encryption)
    entries = read.load({"project_key": stored, "session_id": row.session_id})
    prompts = [entry["message"]["content"] for entry in entries or [] if entry["type"] == "user"]
    assert prompts == [SAID, "Go on."]


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_two_tenants_have_a_chat_of_the_same_id(make_backend: MakeBackend, engine: Engine) -> None:
    for tenant in ("acme", "bolt"):
        async with make_backend(tenant=tenant) as backend:
            await told(backend, "chat", f"We are {tenant}.")
    with Session(engine) as db:
        rows = db.execute(select(ClaudeAgentSession.chat_id, ClaudeAgentSession.fencing_token)).all()
        assert sorted(map(tuple, rows)) == [("tenant:acme/chat", 1), ("tenant:bolt/chat", 1)]


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_an_empty_tenant_is_refused_and_an_engines_is_taken(
    make_backend: MakeBackend, engine: Engine
) -> None:
    with pytest.raises(InvalidKeyError):
        make_backend(tenant="")
    bound = make_backend(engine.execution_options(boocode_sessions_tenant="acme"))
    assert bound.stored_chat_id("chat") == "tenant:acme/chat"


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_chat_keeps_the_project_key_that_it_began_with(
    make_backend: MakeBackend, engine: Engine
) -> None:
    with engine.begin() as connection:
        AgentSessions().acquire(
            connection,
            "chat",
            "claude",
            holder=Holder("gone", "host", 1),
            project_key="ada",
            session_id=SESSION,
            seconds=-1,
        )
    async with make_backend(project_key="bob") as backend:
        with pytest.raises(SessionUnknownError, match="project_key"):
            await told(backend, "chat", "Hello.")
    async with make_backend(project_key=lambda _chat_id, _key: "") as backend:
        with pytest.raises(InvalidKeyError):
            await told(backend, "other chat", "Hello.")


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_an_import_stores_under_a_key_of_the_hosts(engine: Engine, tmp_path: Path) -> None:
    """Over an engine and over a connection that work for a tenant alike."""
    ClaudeSessionRepository(engine).append({"project_key": "-srv", "session_id": SESSION}, [{"type": "mode"}])
    export_tree(engine, tmp_path)
    bound = engine.execution_options(boocode_sessions_tenant="acme")
    assert import_tree(bound, tmp_path, project_key=lambda key: f"ada/{key}").added == 1
    with bound.begin() as connection:
        assert import_tree(connection, tmp_path, project_key="bob").added == 1
    with pytest.raises(InvalidKeyError):
        import_tree(engine, tmp_path, project_key="")
    with Session(engine) as db:
        found = db.scalars(select(ClaudeSession.project_key)).all()
    assert set(found) == {"-srv", "tenant:acme/ada/-srv", "tenant:acme/bob"}


async def test_a_repair_stores_lines_as_the_store_does(
    app: Engine, engine: Engine, tmp_path: Path, encryption: Encryption
) -> None:
    """What the mirror has lost comes from a folder of the SDK's key, and goes under the chat's, encrypted."""
    database = AgentDatabase(app, None, 20, encryption=encryption, tenant="acme")
    writer = AgentSessions()
    lease = await database.run(
        "take the chat",
        lambda connection: writer.acquire(
            connection,
            "tenant:acme/chat",
            "claude",
            holder=Holder("one", "host", 1),
            project_key="tenant:acme/ada/-srv",
            session_id=SESSION,
            seconds=30,
        ),
    )
    store = FencedStore(
        SQLAlchemySessionStore(app, encryption=encryption, tenant="acme"),
        database,
        writer,
        Condition(writer.fence),
        lease,
        folder="-srv",
        project_key=lambda key: f"ada/{key}",
    )
    key: SessionKey = {"project_key": "-srv", "session_id": SESSION}
    store.projects = tmp_path
    lines: list[Any] = [{"type": "user", "uuid": str(number), "text": "violin"} for number in range(2)]
    plain = create_engine("sqlite://")
    migrations.upgrade(plain)
    ClaudeSessionRepository(plain).append(key, lines)
    export_tree(plain, tmp_path)
    plain.dispose()

    await store.append(key, lines[:1])
    assert await store.catch_up() == 1
    assert await store.load(key) == lines
    stored = ClaudeSessionRepository(engine, encryption=encryption)
    assert stored.load({**key, "project_key": "tenant:acme/ada/-srv"}) == lines
    with engine.connect() as connection:
        assert "violin" not in str(connection.execute(select(ClaudeSessionEntry.verbatim)).all())

    for over in (engine, app.execution_options(boocode_sessions_tenant="acme")):
        report = check_session(
            over, "tenant:acme/ada/-srv", SESSION, files=tmp_path, repair=True, encryption=encryption
        )
        assert (report.entries, report.in_files, report.is_whole) == (2, 0, True)
