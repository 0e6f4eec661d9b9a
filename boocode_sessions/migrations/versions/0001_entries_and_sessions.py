"""Entries and sessions; adopts the entries of another store.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from boocode_sessions.migrations import adopting, agent_sessions, derived_tables
from boocode_sessions.migrations.steps import step
from boocode_sessions.migrations.target import schema

revision = "0001"
down_revision = None
branch_labels = ("boocode_sessions",)
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ENTRY = sa.JSON().with_variant(JSONB(), "postgresql")
_CLOCK = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
}


@step(before=None, after="0001")
def upgrade() -> None:
    """Create the tables, or complete those that another store has created."""
    dialect = op.get_context().dialect.name
    adopts = adopting.may_adopt()
    op.create_table(
        "claude_session_entries",
        sa.Column("id", _ID, nullable=False, autoincrement=True),
        sa.Column("position", sa.BigInteger(), nullable=False, server_default=sa.text(adopting.UNPLACED)),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text(_CLOCK[dialect])
        ),
        sa.Column("said_at", sa.DateTime(timezone=True)),
        sa.Column("size", sa.Integer()),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("cache_read_tokens", sa.Integer()),
        sa.Column("cache_write_tokens", sa.Integer()),
        sa.Column("cache_write_1h_tokens", sa.Integer()),
        sa.Column("tool_count", sa.SmallInteger()),
        sa.Column("failed", sa.Boolean()),
        sa.Column("is_first", sa.Boolean()),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("subpath", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("dedup_key", sa.LargeBinary()),
        sa.Column("type", sa.Text()),
        sa.Column("message_id", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("tool_name", sa.Text()),
        sa.Column("tool_use_id", sa.Text()),
        sa.Column("forked_from", sa.Text()),
        sa.Column("entry", _ENTRY, nullable=False),
        sa.Column("verbatim", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="claude_session_entries_pkey"),
        schema=schema(),
        sqlite_autoincrement=True,
        if_not_exists=adopts,
    )
    if adopts:
        adopting.drop_invalid_indexes()
        adopting.fill_subpaths()
        # Readers wait from here on. Every index needs a new column, and `prepare` can build them in advance.
        adopting.complete_columns()
    for index in adopting.INDEXES:
        op.create_index(
            index.name,
            "claude_session_entries",
            index.columns,
            schema=schema(),
            if_not_exists=adopts,
            **index.options(),
        )
    op.create_table(
        "claude_sessions",
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("next_position", sa.BigInteger(), nullable=False),
        sa.Column("main_position", sa.BigInteger()),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.Column("entries", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("subagents", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("bytes", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("first_said_at", sa.DateTime(timezone=True)),
        sa.Column("last_said_at", sa.DateTime(timezone=True)),
        sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("data", sa.Text()),
        sa.PrimaryKeyConstraint("project_key", "session_id", name="claude_sessions_pkey"),
        schema=schema(),
    )
    derived_tables.create()
    agent_sessions.create()
    if dialect == "postgresql":
        adopting.compress_entries()


@step(before="0001", after=None)
def downgrade() -> None:
    """Drop the tables with all their rows, adopted entries too."""
    agent_sessions.drop()
    derived_tables.drop()
    op.drop_table("claude_sessions", schema=schema())
    op.drop_table("claude_session_entries", schema=schema())
