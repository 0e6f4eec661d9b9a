"""Makes the derived tables, which `queries` fills from the entries and reads: calls, tool uses and texts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from boocode_sessions._core.sql.types import WORD_INDEX, create_word_index
from boocode_sessions.migrations.target import schema

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DIGESTS, _CALLS, _USES = "claude_session_digests", "claude_session_calls", "claude_session_tool_uses"
_TEXTS = "claude_session_texts"


def create() -> None:
    op.create_table(
        _DIGESTS,
        sa.Column("id", _ID, nullable=False, autoincrement=True),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("counted_to", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("searched_to", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("transcripts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name="claude_session_digests_pkey"),
        schema=schema(),
        sqlite_autoincrement=True,
    )
    _create_index(_DIGESTS, "claude_session_digests_session_idx", ["project_key", "session_id"], unique=True)
    _create_index(_DIGESTS, "claude_session_digests_behind_idx", ["id"], where="searched_to < counted_to")
    op.create_table(
        _CALLS,
        *_key(),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("said_at", sa.BigInteger()),
        sa.Column("quarter", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_read_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_write_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_write_1h_tokens", sa.Integer(), nullable=False),
        sa.Column("shared", sa.SmallInteger(), nullable=False),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.PrimaryKeyConstraint("digest_id", "call", "copied_from", name="claude_session_calls_pkey"),
        schema=schema(),
        sqlite_with_rowid=False,
    )
    _create_index(_CALLS, "claude_session_calls_call_idx", ["call"])
    tokens = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"]
    summed = ["quarter", "model", "shared", "at", *tokens, "cache_write_1h_tokens", "digest_id"]
    _create_index(_CALLS, "claude_session_calls_quarter_idx", summed)
    _create_index(_CALLS, "claude_session_calls_shared_idx", ["digest_id"], where="shared = 1")
    op.create_table(
        _USES,
        *_key(),
        sa.Column("asked_at", sa.BigInteger()),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("failed", sa.SmallInteger()),
        sa.Column("shared", sa.SmallInteger(), nullable=False),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text()),
        sa.PrimaryKeyConstraint("digest_id", "call", "copied_from", name="claude_session_tool_uses_pkey"),
        schema=schema(),
        sqlite_with_rowid=False,
    )
    _create_index(_USES, "claude_session_tool_uses_call_idx", ["call"])
    summed = ["tool", "shared", "asked_at", "failed", "answered_at", "digest_id"]
    _create_index(_USES, "claude_session_tool_uses_tool_idx", summed)
    _create_index(_USES, "claude_session_tool_uses_shared_idx", ["digest_id"], where="shared = 1")
    _create_texts()


def _create_texts() -> None:
    on_postgresql = op.get_context().dialect.name == "postgresql"
    op.create_table(
        _TEXTS,
        sa.Column("id", _ID, nullable=False, autoincrement=False),
        sa.Column("digest_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("project_key", sa.Text(), nullable=False),
        sa.Column("words", TSVECTOR() if on_postgresql else sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="claude_session_texts_pkey"),
        schema=schema(),
    )
    _create_index(_TEXTS, "claude_session_texts_digest_idx", ["digest_id"])
    op.create_index(
        "claude_session_texts_words_idx",
        _TEXTS,
        ["words"],
        schema=schema(),
        postgresql_using="gin",
        sqlite_where=sa.text("id IS NULL"),
    )
    if not on_postgresql:
        op.execute(create_word_index(_prefix()))


def drop() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"DROP TABLE {_prefix()}{WORD_INDEX}")
    for table in (_TEXTS, _USES, _CALLS, _DIGESTS):
        op.drop_table(table, schema=schema())


def _prefix() -> str:
    where = schema()
    return f"{op.get_context().dialect.identifier_preparer.quote_schema(where)}." if where else ""


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("digest_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("call", sa.LargeBinary(), nullable=False),
        sa.Column("copied_from", sa.Text(), nullable=False, server_default=sa.text("''")),
    ]


def _create_index(
    table: str, name: str, columns: list[str], *, unique: bool = False, where: str | None = None
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        schema=schema(),
        postgresql_where=condition,
        sqlite_where=condition,
    )
