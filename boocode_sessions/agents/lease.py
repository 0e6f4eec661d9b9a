"""Who holds a chat: a lease in the database, and a fencing token that a late writer fails on.

A chat is held while a turn or a background task runs. Between turns it is free: whoever sends the next
prompt takes it, with a token one higher if that is another process than before. Every write of an agent names
its token, in the statement that writes, and is refused if it comes late. What a turn has spent comes with a
number that grows by one: sent again, because the answer to its COMMIT was lost, it is known again.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from boocode_sessions._core.sql.functions import storage_clock
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions.agents.errors import ChatHeldError
from boocode_sessions.agents.models import ClaudeAgentSession
from boocode_sessions.agents.writer import Holder, Lease, Settlement


class AgentSessions:
    """The writer over `claude_agent_sessions`: a statement for each method."""

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
        """As AgentSessionWriter.acquire."""
        statement = _take(
            connection.dialect.name,
            {
                "chat_id": chat_id,
                "agent": agent,
                "backend": "claude_sdk",
                "project_key": project_key,
                "session_id": session_id,
                **_held_by(holder, seconds),
                "fencing_token": 1,
                "created_at": storage_clock(),
            },
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise _held_elsewhere(connection, chat_id, agent)
        return Lease(
            chat_id,
            agent,
            holder,
            row.fencing_token,
            row.session_id,
            row.project_key,
            row.turns,
            row.session_id == session_id,
            row.repairs,
            row.settlements,
        )

    def renew(self, connection: Connection, lease: Lease, seconds: float) -> bool:
        """As AgentSessionWriter.renew."""
        statement = update(_TABLE).where(_is_ours(lease)).values(_held_by(lease.holder, seconds))
        return _changes_a_row(connection, statement)

    @property
    def fence(self) -> ColumnElement[bool]:
        """As AgentSessionWriter.fence."""
        columns = _TABLE.c
        held = select(columns.fencing_token).where(
            columns.chat_id == bindparam("fence_chat_id", type_=Text),
            columns.agent == bindparam("fence_agent", type_=Text),
            columns.holder == bindparam("fence_holder", type_=Text),
            columns.fencing_token == bindparam("fence_token", type_=BigInteger),
            columns.repairs == bindparam("fence_repairs", type_=BigInteger),
        )
        return held.with_for_update(read=True).exists()

    def repair(self, connection: Connection, lease: Lease, number: int) -> None:
        """As AgentSessionWriter.repair. The row stays locked until the transaction ends."""
        statement = update(_TABLE).where(_is_ours(lease)).values(repairs=number)
        if not _changes_a_row(connection, statement):
            raise lease.fenced()

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        """As AgentSessionWriter.move."""
        statement = update(_TABLE).where(_is_ours(lease)).values(session_id=session_id)
        if not _changes_a_row(connection, statement):
            raise lease.fenced()

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        """As AgentSessionWriter.settle."""
        columns, usage = _TABLE.c, settlement.usage
        values: dict[str, Any] = {
            "session_id": lease.session_id,
            "turns": columns.turns + settlement.turns,
            "input_tokens": columns.input_tokens + usage.input_tokens,
            "output_tokens": columns.output_tokens + usage.output_tokens,
            "cache_read_tokens": columns.cache_read_tokens + usage.cache_read_tokens,
            "cache_write_tokens": columns.cache_write_tokens + usage.cache_write_tokens,
            "cost_usd": columns.cost_usd + settlement.cost_usd,
            "incomplete": settlement.incomplete,
            "updated_at": storage_clock(),
        }
        if settlement.has_ended:
            values["last_error"] = settlement.error
        if settlement.release:
            values |= {"state": "idle", "lease_until": null()}
        statement = update(_TABLE).where(_is_ours(lease), columns.settlements < number)
        if _changes_a_row(connection, statement.values(settlements=number, **values)):
            return
        if connection.execute(select(columns.settlements).where(_is_ours(lease))).scalar() is None:
            raise lease.fenced()


def _changes_a_row(connection: Connection, statement: Update) -> bool:
    """Run it. By what it returns: how many rows it counts is not every database's to tell."""
    return connection.execute(statement.returning(_TABLE.c.chat_id)).first() is not None


class lease_end(FunctionElement[datetime]):  # noqa: N801 - named as the SQL function it stands for
    """So many seconds from now, by the database's clock: the only one that all hosts share."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(lease_end, "postgresql")
def _lease_end_on_postgresql(element: lease_end, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)})"


@compiles(lease_end, "sqlite")
def _lease_end_on_sqlite(element: lease_end, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f000', 'now', ({seconds}) || ' seconds'))"


_TABLE: Table = ClaudeAgentSession.__table__  # type: ignore[assignment]


def _take(dialect: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - two dialects' Insert
    """Insert the chat's row, or take the one that is there if it is free, ours, or its lease has run out.

    Shape: one row; none if somebody else holds the chat.
    Served by: claude_agent_sessions_pkey.
    """
    columns = _TABLE.c
    is_same = columns.holder == values["holder"]
    taken = {
        **{name: values[name] for name in ("holder", "host", "pid", "state", "lease_until", "updated_at")},
        "fencing_token": columns.fencing_token + case((is_same, 0), else_=1),
        "settlements": case((is_same, columns.settlements), else_=0),
    }
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(_TABLE).values(values)
    return insert.on_conflict_do_update(
        index_elements=[columns.chat_id, columns.agent],
        set_=taken,
        where=or_(columns.lease_until.is_(None), columns.lease_until < storage_clock(), is_same),
    ).returning(
        columns.fencing_token,
        columns.session_id,
        columns.project_key,
        columns.turns,
        columns.repairs,
        columns.settlements,
    )


def _held_by(holder: Holder, seconds: float) -> dict[str, Any]:
    return {
        "holder": holder.id,
        "host": holder.host,
        "pid": holder.pid,
        "state": "running",
        "lease_until": lease_end(seconds),
        "updated_at": storage_clock(),
    }


def _is_ours(lease: Lease) -> ColumnElement[bool]:
    columns = _TABLE.c
    return and_(
        columns.chat_id == lease.chat_id,
        columns.agent == lease.agent,
        columns.holder == lease.holder.id,
        columns.fencing_token == lease.token,
    )


def _held_elsewhere(connection: Connection, chat_id: str, agent: str) -> ChatHeldError:
    columns = _TABLE.c
    found = connection.execute(
        select(columns.host, columns.pid, columns.lease_until).where(
            columns.chat_id == chat_id, columns.agent == agent
        )
    ).one_or_none()
    whom = f"process {found.pid} on {found.host}" if found else "another process"
    return ChatHeldError(
        f"agent {agent!r} of chat {chat_id!r} is at work in {whom}: send the prompt there, or again when its "
        f"turn has ended{f', at {found.lease_until} at the latest if it has died' if found else ''}"
    )
