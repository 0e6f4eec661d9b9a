"""A host's own: its other backends' rows, its own writer, its choice of a backend."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    MetaData,
    Table,
    Text,
    bindparam,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from boocode_sessions import migrations
from boocode_sessions._core.statements.append import Condition
from boocode_sessions.agents import (
    AgentBackend,
    ChatHeldError,
    ClaudeSdkBackend,
    FencedError,
    Holder,
    Lease,
    Settlement,
    TurnEnded,
    choose_backend,
)
from boocode_sessions.agents.database import Database as AgentDatabase
from boocode_sessions.agents.store import FencedStore
from boocode_sessions.migrations import agent_sessions
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.agents.conftest import MakeBackend, text_of, told
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, echo

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


METADATA = MetaData()
OWN = Table(
    "agent_sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("backend", Text, CheckConstraint("backend IN ('pty', 'claude_sdk')")),
    Column("claude_session_id", Text),
    Column("project", Text),
    Column("cost", Float, server_default=text("0")),
    Column("turns", BigInteger, server_default=text("0")),
    Column("held_by", Text),
    Column("held_until", Float, server_default=text("0")),
    Column("token", BigInteger, server_default=text("1")),
    Column("repairs", BigInteger, server_default=text("0")),
    Column("settled", BigInteger, server_default=text("0")),
)
"""A host's table from before: its row is one chat's one agent, and its clock that of its one machine."""


class OwnWriter:
    """A host's writer over its own table."""

    @property
    def fence(self) -> ColumnElement[bool]:
        held = select(OWN.c.id).where(
            OWN.c.id == bindparam("fence_chat_id", type_=Text),
            OWN.c.held_by == bindparam("fence_holder", type_=Text),
            OWN.c.token == bindparam("fence_token", type_=BigInteger),
            OWN.c.repairs == bindparam("fence_repairs", type_=BigInteger),
        )
        return held.with_for_update(read=True).exists()

    def acquire(
        self,
        connection: Connection,
        chat_id: str,
        agent: str,
        *,
        holder: Holder,
        project_key: str,
        session_id: str,
        seconds: float,
    ) -> Lease:
        row = connection.execute(select(OWN).where(OWN.c.id == chat_id).with_for_update()).one_or_none()
        until = time.time() + seconds
        if row is None:
            begun = {"id": chat_id, "backend": "claude_sdk", "claude_session_id": session_id}
            connection.execute(
                OWN.insert().values(**begun, project=project_key, held_by=holder.id, held_until=until)
            )
            return Lease(chat_id, agent, holder, 1, session_id, project_key, 0, True, 0, 0)
        if row.held_by != holder.id and row.held_until > time.time():
            raise ChatHeldError(f"chat {chat_id} is held")
        token = row.token + (row.held_by != holder.id)
        taken = {"held_by": holder.id, "held_until": until, "token": token}
        connection.execute(update(OWN).where(OWN.c.id == chat_id).values(taken))
        return Lease(
            chat_id,
            agent,
            holder,
            token,
            row.claude_session_id,
            row.project,
            row.turns,
            False,
            row.repairs,
            row.settled,
        )

    def renew(self, connection: Connection, lease: Lease, seconds: float) -> bool:
        return self._change(connection, lease, held_until=time.time() + seconds)

    def repair(self, connection: Connection, lease: Lease, number: int) -> None:
        if not self._change(connection, lease, repairs=number):
            raise lease.fenced()

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        if not self._change(connection, lease, claude_session_id=session_id):
            raise lease.fenced()

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        settled = connection.execute(select(OWN.c.settled).where(OWN.c.id == lease.chat_id)).scalar_one()
        added = settlement if number > settled else Settlement()
        if not self._change(
            connection,
            lease,
            settled=number,
            cost=OWN.c.cost + added.cost_usd,
            turns=OWN.c.turns + added.turns,
            held_until=0 if settlement.release else OWN.c.held_until,
        ):
            raise lease.fenced()

    def _change(self, connection: Connection, lease: Lease, **values: Any) -> bool:
        ours = (OWN.c.id == lease.chat_id, OWN.c.held_by == lease.holder.id, OWN.c.token == lease.token)
        return connection.execute(update(OWN).where(*ours).values(values)).rowcount == 1


@pytest.mark.anyio
async def test_a_host_keeps_leases_and_costs_in_a_table_of_its_own(
    make_backend: MakeBackend, engine: Engine
) -> None:
    METADATA.create_all(engine)
    async with make_backend(writer=OwnWriter()) as one, make_backend(writer=OwnWriter()) as other:
        first = await told(one, "chat", "Remember 7731.")
        second = await told(other, "chat", "What was it?")
    ended = [event for event in (first[-1], second[-1]) if isinstance(event, TurnEnded)]
    assert [(event.reason, event.stored) for event in ended] == [("completed", True)] * 2
    with engine.connect() as connection:
        row = connection.execute(select(OWN)).one()
        assert connection.execute(text("SELECT count(*) FROM claude_agent_sessions")).scalar() == 0
    assert (row.backend, row.turns, row.token, row.held_until) == ("claude_sdk", 2, 2, 0)
    assert row.cost == pytest.approx(sum(event.cost_usd for event in ended))


@pytest.mark.anyio
async def test_a_writer_that_fails_for_one_chat_ends_no_other(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, caplog: pytest.LogCaptureFixture
) -> None:
    METADATA.create_all(engine)

    def script(request: MessagesRequest) -> list[Block]:
        if request.prompt == "Go away.":
            with engine.begin() as connection:  # the host removes the chat: `settle` finds no row
                connection.execute(OWN.delete().where(OWN.c.id == "gone"))
        return echo(request)

    api.script = script
    async with make_backend(writer=OwnWriter()) as backend:
        await told(backend, "other", "Hello.")
        ended = (await told(backend, "gone", "Go away."))[-1]
        assert isinstance(ended, TurnEnded)
        assert not ended.stored
        assert text_of(await told(backend, "other", "Still there?")) == "You said: Still there?"
    assert "settle chat 'gone': the writer has failed" in caplog.text


@pytest.mark.anyio
async def test_a_late_append_is_refused_by_the_hosts_own_fence(engine: Engine) -> None:
    METADATA.create_all(engine)
    database, writer = AgentDatabase(engine, None, 20), OwnWriter()

    def take(holder: str, seconds: float) -> Callable[[Connection], Lease]:
        return lambda connection: writer.acquire(
            connection,
            "chat",
            "claude",
            holder=Holder(holder, "host", 1),
            project_key="p",
            session_id="s",
            seconds=seconds,
        )

    lease = await database.run("take the chat", take("one", -1))
    late = FencedStore(SQLAlchemySessionStore(engine), database, writer, Condition(writer.fence), lease)
    await late.append({"project_key": "p", "session_id": "s"}, [{"type": "mode"}])
    await database.run("take the chat", take("other", 30))
    with pytest.raises(FencedError):
        await late.append({"project_key": "p", "session_id": "s"}, [{"type": "mode"}])


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
    kind: type[AgentBackend] = ClaudeSdkBackend  # for the type checkers
    asked = {name for name in vars(AgentBackend) if not name.startswith("_")}
    of_its_own = {"warm", "stored_chat_id"}  # its pool, and its table
    assert asked == {name for name in vars(kind) if not name.startswith("_")} - of_its_own
