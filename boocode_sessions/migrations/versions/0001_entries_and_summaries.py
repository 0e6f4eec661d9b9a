"""Entries and summaries.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op
from boocode_sessions.dialects import UTCDateTime, storage_clock
from boocode_sessions.migrations.target import schema

revision = "0001"
down_revision = None
branch_labels = ("boocode_sessions",)
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ENTRY = sa.JSON().with_variant(JSONB(), "postgresql")
_CLAIMED = sa.text("dedup_key IS NOT NULL")
_UNCLAIMED = sa.text("dedup_key IS NULL")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "claude_session_entries",
        sa.Column("id", _ID, nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("subpath", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("dedup_key", sa.Text()),
        sa.Column("entry", _ENTRY, nullable=False),
        sa.Column("verbatim", sa.Text()),
        sa.Column("created_at", UTCDateTime(), nullable=False, server_default=storage_clock()),
        sa.PrimaryKeyConstraint("id", name="claude_session_entries_pkey"),
        schema=schema(),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "claude_session_entries_transcript_idx",
        "claude_session_entries",
        ["project_key", "session_id", "subpath", "id"],
        unique=True,
        schema=schema(),
    )
    op.create_index(
        "claude_session_entries_dedup_idx",
        "claude_session_entries",
        ["project_key", "session_id", "subpath", "dedup_key"],
        unique=True,
        schema=schema(),
        postgresql_where=_CLAIMED,
        sqlite_where=_CLAIMED,
    )
    op.create_index(
        "claude_session_entries_unclaimed_idx",
        "claude_session_entries",
        ["project_key", "subpath", "session_id", "created_at"],
        schema=schema(),
        postgresql_where=_UNCLAIMED,
        sqlite_where=_UNCLAIMED,
    )
    op.create_table(
        "claude_session_summaries",
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("folded_id", sa.BigInteger()),
        sa.Column("data", sa.Text()),
        sa.Column("updated_at", UTCDateTime()),
        sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("project_key", "session_id", name="claude_session_summaries_pkey"),
        schema=schema(),
    )


def downgrade() -> None:
    """Drop the tables and what is in them."""
    op.drop_table("claude_session_summaries", schema=schema())
    op.drop_table("claude_session_entries", schema=schema())
