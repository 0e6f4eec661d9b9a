"""A version after the newest one, as in a later release."""

import sqlalchemy as sa
from alembic import op

from boocode_sessions.migrations.steps import step
from boocode_sessions.migrations.target import schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


@step(before="0001", after="0002")
def upgrade() -> None:
    op.create_table("claude_session_probe", sa.Column("id", sa.Integer(), primary_key=True), schema=schema())


@step(before="0002", after="0001")
def downgrade() -> None:
    op.drop_table("claude_session_probe", schema=schema())
