"""Tenants that the database keeps apart, behind a pooler that gives each transaction another connection."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from claude_agent_sdk.testing import run_session_store_conformance
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, PermissionDeniedError, SessionKey, migrations, queries
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.fixtures.databases import Database
from tests.fixtures.pooler import SERVER_CONNECTIONS

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
NAMES = tuple("abcdef")
"""More than the pooler has connections."""
ROUNDS = 10


@pytest.fixture(scope="module")
def app(pooled_database: Database) -> Iterator[Engine]:
    """Through the pooler, whose connections work as a role that is no superuser."""
    made = create_engine(pooled_database.url, pool_size=2 * SERVER_CONNECTIONS)
    role = f"app_{secrets.token_hex(4)}"
    name = made.url.database
    with made.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
        connection.execute(text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"))
    migrations.protect_tenants(made)
    with made.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET role = {role}"))
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{ended} AND pid <> pg_backend_pid()"))
        connection.execute(text(f"SET ROLE {role}"))
    made.dispose()
    yield made
    made.dispose()


def test_tenants_and_a_stranger_take_turns_on_the_same_connections(app: Engine) -> None:
    with app.connect() as connection:
        assert str(connection.execute(text("SELECT current_user")).scalar_one()).startswith("app_")

    def work(name: str) -> None:
        repository = ClaudeSessionRepository(app, tenant=name)
        bound = app.execution_options(boocode_sessions_tenant=name)
        for number in range(ROUNDS):
            repository.append(KEY, [{"type": "user", "uuid": f"{name}-{number}"}])
            assert [line["uuid"] for line in repository.load(KEY) or []] == [
                f"{name}-{n}" for n in range(number + 1)
            ]
            assert {row.project_key for row in queries.sessions(bound)} == {f"tenant:{name}/p"}

    def intrude() -> None:
        for _ in range(ROUNDS):
            assert queries.sessions(app) == []
            with app.connect() as connection:
                for table in ("claude_session_entries", "claude_sessions"):
                    assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
            with pytest.raises(PermissionDeniedError):
                ClaudeSessionRepository(app).append({**KEY, "project_key": "tenant:a/p"}, [{"type": "user"}])

    with ThreadPoolExecutor(len(NAMES) + 1) as threads:
        running = [threads.submit(work, name) for name in NAMES] + [threads.submit(intrude)]
        for one in running:
            one.result()


@pytest.mark.anyio
async def test_the_sdks_conformance_suite_passes(app: Engine) -> None:
    names = iter(range(10**6))
    await run_session_store_conformance(lambda: SQLAlchemySessionStore(app, tenant=f"fresh-{next(names)}"))
