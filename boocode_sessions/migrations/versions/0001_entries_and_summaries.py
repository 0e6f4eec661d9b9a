"""Entries and summaries; adopts the entries of another store.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from boocode_sessions.migrations import adopting
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
    """Create the tables, or complete what another store has created."""
    dialect = op.get_context().dialect.name
    adopts = adopting.may_adopt()
    op.create_table(
        "claude_session_entries",
        sa.Column("id", _ID, nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("subpath", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("dedup_key", sa.Text()),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text(_CLOCK[dialect])
        ),
        sa.Column("facts", _ENTRY),  # before what is long: SQLite reads a row up to what it is asked for
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
    _create_index(adopting.INDEXES[0], if_not_exists=adopts)
    if adopts:
        adopting.complete_columns()  # as late as can be: readers wait from here on
    for index in adopting.INDEXES[1:]:
        _create_index(index, if_not_exists=adopts)
    if dialect == "postgresql":
        _create_index(adopting.FACTS_INDEX, if_not_exists=adopts)
    op.create_table(
        "claude_session_summaries",
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("folded_id", sa.BigInteger()),
        sa.Column("data", sa.Text()),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("project_key", "session_id", name="claude_session_summaries_pkey"),
        schema=schema(),
    )
    if dialect == "postgresql":
        adopting.compress_entries()


def _create_index(index: adopting.EntriesIndex, *, if_not_exists: bool) -> None:
    op.create_index(
        index.name,
        "claude_session_entries",
        [sa.text(column) if "(" in column else column for column in index.columns],
        schema=schema(),
        if_not_exists=if_not_exists,
        **index.options(),
    )


@step(before="0001", after=None)
def downgrade() -> None:
    """Drop the tables and what is in them, adopted entries too."""
    op.drop_table("claude_session_summaries", schema=schema())
    op.drop_table("claude_session_entries", schema=schema())
