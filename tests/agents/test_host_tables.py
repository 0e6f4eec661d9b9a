"""A host's own: its other backends' rows, its own writer, its choice of a backend."""

from collections.abc import Callable
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from boocode_sessions import migrations
from boocode_sessions.agents import (
    AgentBackend,
    AgentSessions,
    ClaudeSdkBackend,
    Lease,
    Settlement,
    choose_backend,
)
from boocode_sessions.migrations import agent_sessions
from tests.agents.conftest import MakeBackend, told

ROW = text(
    "INSERT INTO claude_agent_sessions"
    " (chat_id, agent, backend, project_key, session_id, created_at, updated_at)"
    " VALUES (:chat, 'own', :backend, 'p', 's', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
)


def insert(engine: Engine, backend: str) -> None:
    with engine.begin() as connection:
        connection.execute(ROW, {"chat": f"chat of {backend}", "backend": backend})


def test_only_known_backends_have_rows_until_a_migration_of_the_hosts_allows_more(engine: Engine) -> None:
    insert(engine, "pty")
    with pytest.raises(IntegrityError):
        insert(engine, "acme")
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        agent_sessions.allow_backends("acme", "o'neill", operations=operations)
    for allowed in ("acme", "o'neill", "claude_sdk"):
        insert(engine, allowed)
    with pytest.raises(IntegrityError):
        insert(engine, "another")


def test_autogenerate_leaves_the_table_alone() -> None:
    parents = {"schema_name": None}
    assert not migrations.ignore_owned()("claude_agent_sessions", "table", parents)


class OwnWriter(AgentSessions):
    """A host's writer, which notes what it was asked to keep."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        self.settled.append(settlement)
        super().settle(connection, lease, number, settlement)


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_host_can_keep_the_costs_itself(make_backend: MakeBackend) -> None:
    writer = OwnWriter()
    async with make_backend(writer=writer) as backend:
        await told(backend, "chat", "Hello.")
    assert sum(settlement.turns for settlement in writer.settled) == 1
    assert sum(settlement.usage.output_tokens for settlement in writer.settled) == 12


@pytest.mark.parametrize(
    ("value", "is_ours"),
    [
        (None, False),
        ("", False),
        ("0", False),
        ("false", False),
        ("1", True),
        ("TRUE", True),
        (" yes ", True),
    ],
)
def test_the_hosts_own_backend_is_chosen_unless_the_environment_says_so(
    value: str | None, is_ours: bool
) -> None:
    environment = {} if value is None else {"CLAUDE_SDK_BACKEND": value}
    made: list[str] = []

    def maker(name: str) -> Callable[[], str]:
        def make() -> str:
            made.append(name)
            return name

        return make

    chosen = choose_backend(maker("own"), maker("ours"), environment)
    assert [chosen] == made == ["ours" if is_ours else "own"]


def test_the_backend_is_an_agent_backend() -> None:
    kind: type[AgentBackend] = ClaudeSdkBackend
    missing: list[Any] = [
        name for name in ("send", "interrupt", "close", "answer") if not hasattr(kind, name)
    ]
    assert missing == []
