"""Leases on chats in the database, with a fencing token that makes a late writer fail.

A process holds a chat while a turn or a background task runs. Between turns the chat is free: the process
that gets the next prompt takes it, and raises the token by one if it is not the previous holder. Every
write of an agent checks its token in the same statement, so a late write is refused. Each settlement of
what a turn spent has a number that grows by one. If the answer to its COMMIT is lost and it is sent again,
its number shows whether it has landed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from boocode_sessions._core.sql.functions import SQLFunction, storage_clock
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions.agents.errors import ChatHeldError
from boocode_sessions.agents.models import ClaudeAgentSession
from boocode_sessions.agents.writer import Holder, Lease, Settlement


class AgentSessions:
    """The AgentSessionWriter over `claude_agent_sessions`, with one statement for each method."""

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
        """Like AgentSessionWriter.acquire."""
        parameters = {
            "of_chat": chat_id,
            "of_agent": agent,
            "in_project": project_key,
            "in_session": session_id,
            **_holder_parameters(holder, seconds),
        }
        row = connection.execute(_acquire(connection.dialect.name), parameters).one_or_none()
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
        """Like AgentSessionWriter.renew."""
        return _changes_a_row(
            connection, _renew(), _lease_key(lease) | _holder_parameters(lease.holder, seconds)
        )

    @property
    def fence(self) -> ColumnElement[bool]:
        """Like AgentSessionWriter.fence."""
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
        """Like AgentSessionWriter.repair. The row stays locked until the transaction ends."""
        if not _changes_a_row(connection, _set("repairs"), _lease_key(lease) | {"repairs_now": number}):
            raise lease.fenced()

    def move(self, connection: Connection, lease: Lease, session_id: str) -> None:
        """Like AgentSessionWriter.move."""
        if not _changes_a_row(
            connection, _set("session_id"), _lease_key(lease) | {"session_id_now": session_id}
        ):
            raise lease.fenced()

    def settle(self, connection: Connection, lease: Lease, number: int, settlement: Settlement) -> None:
        """Like AgentSessionWriter.settle."""
        spent = asdict(settlement.usage) | {"turns": settlement.turns, "cost_usd": settlement.cost_usd}
        parameters = {
            "number": number,
            "in_session": lease.session_id,
            "is_incomplete": settlement.incomplete,
            "has_ended": settlement.has_ended,
            "an_error": settlement.error,
            "is_free": settlement.release,
            **{f"more_{name}": value for name, value in spent.items()},
            **_lease_key(lease),
        }
        if _changes_a_row(connection, _settle(), parameters):
            return
        held = select(_TABLE.c.settlements).where(_is_ours())
        if connection.execute(held, _lease_key(lease)).scalar() is None:
            raise lease.fenced()


def _changes_a_row(connection: Connection, statement: Update, parameters: Mapping[str, Any]) -> bool:
    """Run a statement with RETURNING. Not every database reports a row count, so the returned row decides."""
    return connection.execute(statement, parameters).first() is not None


class lease_end(SQLFunction[datetime]):  # noqa: N801 - named as the SQL function it stands for
    """A time so many seconds from now, by the database's clock: the only clock that all hosts share."""

    type = UTCDateTime()
    postgresql = "clock_timestamp() + make_interval(secs => {0})"
    sqlite = "(strftime('%Y-%m-%d %H:%M:%f000', 'now', ({0}) || ' seconds'))"


_TABLE: Table = ClaudeAgentSession.__table__  # type: ignore[assignment]
_CHAT, _AGENT = bindparam("of_chat", type_=Text), bindparam("of_agent", type_=Text)
_HOLDER, _TOKEN = bindparam("of_holder", type_=Text), bindparam("of_token", type_=BigInteger)
_COUNTS = (
    "turns",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)
"""Columns to which each settlement adds."""


@cache
def _acquire(dialect: str) -> Any:  # noqa: ANN401 - two dialects' Insert
    """Insert the chat's row, or take the existing one if it is free, ours, or its lease has run out.

    Shape: one row, or none if another process holds the chat.
    Served by: claude_agent_sessions_pkey.
    """
    columns = _TABLE.c
    holder_values = _holder_values()
    values = {
        "chat_id": _CHAT,
        "agent": _AGENT,
        "backend": literal("claude_sdk"),
        "project_key": bindparam("in_project", type_=Text),
        "session_id": bindparam("in_session", type_=Text),
        "fencing_token": literal(1),
        "created_at": storage_clock(),
        **holder_values,
    }
    is_same = columns.holder == _HOLDER
    taken = {
        **holder_values,
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


@cache
def _renew() -> Update:
    return update(_TABLE).where(_is_ours()).values(_holder_values()).returning(_TABLE.c.chat_id)


@cache
def _set(name: str) -> Update:
    """Set one column to the parameter `..._now`."""
    now = bindparam(f"{name}_now", type_=_TABLE.c[name].type)
    return update(_TABLE).where(_is_ours()).values({name: now}).returning(_TABLE.c.chat_id)


@cache
def _settle() -> Update:
    """Add what was spent, unless this number was already added. Shape: one row if it was added now."""
    columns, number = _TABLE.c, bindparam("number", type_=BigInteger)
    has_ended, is_free = (bindparam(name, type_=Boolean) for name in ("has_ended", "is_free"))
    values: dict[str, Any] = {
        name: columns[name] + bindparam(f"more_{name}", type_=columns[name].type) for name in _COUNTS
    } | {
        "settlements": number,
        "session_id": bindparam("in_session", type_=Text),
        "incomplete": bindparam("is_incomplete", type_=Boolean),
        "last_error": case((has_ended, bindparam("an_error", type_=Text)), else_=columns.last_error),
        "state": case((is_free, "idle"), else_=columns.state),
        "lease_until": case((is_free, null()), else_=columns.lease_until),
        "updated_at": storage_clock(),
    }
    statement = update(_TABLE).where(_is_ours(), columns.settlements < number).values(values)
    return statement.returning(columns.chat_id)


def _holder_values() -> dict[str, Any]:
    return {
        "holder": _HOLDER,
        "host": bindparam("on_host", type_=Text),
        "pid": bindparam("in_process", type_=Integer),
        "state": literal("running"),
        "lease_until": lease_end(bindparam("seconds", type_=Double)),
        "updated_at": storage_clock(),
    }


def _holder_parameters(holder: Holder, seconds: float) -> dict[str, Any]:
    """Return the parameters of `_holder_values`."""
    return {"of_holder": holder.id, "on_host": holder.host, "in_process": holder.pid, "seconds": seconds}


def _is_ours() -> ColumnElement[bool]:
    columns = _TABLE.c
    return and_(
        columns.chat_id == _CHAT,
        columns.agent == _AGENT,
        columns.holder == _HOLDER,
        columns.fencing_token == _TOKEN,
    )


def _lease_key(lease: Lease) -> dict[str, Any]:
    """Return the parameters of `_is_ours`."""
    return {
        "of_chat": lease.chat_id,
        "of_agent": lease.agent,
        "of_holder": lease.holder.id,
        "of_token": lease.token,
    }


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
