"""Everything that a later release may change, in one version."""

import sqlalchemy as sa
from alembic import op

from boocode_sessions.migrations.steps import step
from boocode_sessions.migrations.target import schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

additive = True


@step(before="0001", after="0002")
def upgrade() -> None:
    entries, sessions, calls = "claude_session_entries", "claude_sessions", "claude_session_calls"
    op.add_column(entries, sa.Column("later", sa.Text()), schema=schema())
    op.add_column(
        sessions, sa.Column("later", sa.Integer(), nullable=False, server_default="7"), schema=schema()
    )
    op.execute("UPDATE claude_sessions SET later = 8 WHERE entries > 1")
    op.alter_column(calls, "model", server_default="none", schema=schema())
    op.create_index(
        "claude_sessions_later_idx", sessions, ["project_key", "later"], unique=False, schema=schema()
    )
    op.create_table(
        "claude_session_later",
        sa.Column("project_key", sa.Text(), primary_key=True),
        sa.Column("session_id", sa.Text(), primary_key=True),
        schema=schema(),
    )


@step(before="0002", after="0001")
def downgrade() -> None:
    op.drop_table("claude_session_later", schema=schema())
    op.drop_index("claude_sessions_later_idx", "claude_sessions", schema=schema())
    op.alter_column("claude_session_calls", "model", server_default=None, schema=schema())
    op.drop_column("claude_sessions", "later", schema=schema())
    op.drop_column("claude_session_entries", "later", schema=schema())
