"""Makes the table of `boocode_sessions.agents`: which host holds a chat's agent, and what it has spent."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from boocode_sessions.migrations.target import schema

TABLE = "claude_agent_sessions"
BACKENDS = ("claude_sdk", "pty")
"""Allowed values of `backend`, until the host allows more."""

_CHECK = "claude_agent_sessions_backend_check"


def create() -> None:
    op.create_table(
        TABLE,
        sa.Column("chat_id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False, server_default=sa.text("'claude_sdk'")),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'idle'")),
        sa.Column("incomplete", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("host", sa.Text()),
        sa.Column("pid", sa.Integer()),
        sa.Column("holder", sa.Text()),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("repairs", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("settlements", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("turns", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("cost_usd", sa.Float(53), nullable=False, server_default=sa.text("0")),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", "agent", name="claude_agent_sessions_pkey"),
        sa.CheckConstraint(_condition(BACKENDS), name=_CHECK),
        schema=schema(),
    )
    op.create_index(
        "claude_agent_sessions_session_idx", TABLE, ["project_key", "session_id"], schema=schema()
    )


def drop() -> None:
    op.drop_table(TABLE, schema=schema())


def allow_backends(*names: str, operations: Any = op, schema: str | None = None) -> None:  # noqa: ANN401 - `op` is a module
    """Let the column `backend` also name a host's own backends. Call it in a migration of the host.

    Args:
        names: The backends to allow besides `claude_sdk` and `pty`.
        operations: Alembic's `op`, or the Operations of a MigrationContext.
        schema: The schema of the tables, if the connection's search path does not lead to it.
    """
    with operations.batch_alter_table(TABLE, schema=schema) as table:
        table.drop_constraint(_CHECK, type_="check")
        table.create_check_constraint(_CHECK, sa.text(_condition((*BACKENDS, *names))))


def _condition(names: tuple[str, ...]) -> str:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    return f"backend IN ({quoted})"
