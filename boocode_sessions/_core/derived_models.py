"""The derived tables, which `queries` reads. `_core.derived` fills them from the entries when somebody asks.

The code that writes entries doesn't know them, and they may be emptied at any time. Times are microseconds
since year 1. Each row has its session's project, by which a distributed database finds the server.
"""

from __future__ import annotations

from sqlalchemy import DDL, BigInteger, Index, Integer, LargeBinary, SmallInteger, Text, event, text
from sqlalchemy.orm import Mapped, mapped_column

from boocode_sessions._core.base import Base, partial_where
from boocode_sessions._core.sql.types import ROW_ID, WORD_INDEX, WORDS, create_word_index


class SessionDigest(Base):
    """How far the derived tables cover a session."""

    __tablename__ = "claude_session_digests"

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True, autoincrement=True)
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    counted_to: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Calls and tool uses have been taken from all entries before this position."""
    searched_to: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Search finds what the entries before this position say. Never more than `counted_to`."""
    transcripts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How many of the entries before `counted_to` began a transcript. If the session has another number of
    transcripts now, one was deleted since, and the session is taken again from the start."""

    __table_args__ = (
        Index("claude_session_digests_session_idx", "project_key", "session_id", unique=True),
        Index("claude_session_digests_behind_idx", "id", **partial_where("searched_to < counted_to")),
        {"sqlite_autoincrement": True},
    )


class SessionCall(Base):
    """One API call, as far as the lines of one session tell of it."""

    __tablename__ = "claude_session_calls"

    digest_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    call: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """A hash of what identifies the call."""
    copied_from: Mapped[str] = mapped_column(Text, primary_key=True, server_default=text("''"))
    """The session that a fork copied these lines from; `''` for the session's own lines."""
    position: Mapped[int] = mapped_column(BigInteger)
    """The position of the first line."""
    row_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[int] = mapped_column(BigInteger)
    """When the first line was written, or else stored."""
    said_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the first line was written."""
    quarter: Mapped[int] = mapped_column(Integer)
    """The number of the quarter of an hour that contains `at`."""
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    cache_read_tokens: Mapped[int] = mapped_column(Integer)
    cache_write_tokens: Mapped[int] = mapped_column(Integer)
    cache_write_1h_tokens: Mapped[int] = mapped_column(Integer)
    shared: Mapped[int] = mapped_column(SmallInteger)
    """1 if `said_at` is not `at`, or if other lines may tell of the same call: those of another session, or
    of the one that these are copied from. Else 0. Calls with 1 are merged when somebody asks. Calls with 0
    are just summed up."""
    project_key: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("claude_session_calls_call_idx", "call"),
        # All columns that a sum reads, in an order that spares SQLite the sorting.
        Index(
            "claude_session_calls_quarter_idx",
            *("quarter", "model", "shared", "at", "input_tokens", "output_tokens", "cache_read_tokens"),
            *("cache_write_tokens", "cache_write_1h_tokens", "digest_id"),
        ),
        Index("claude_session_calls_shared_idx", "digest_id", **partial_where("shared = 1")),
        {"sqlite_with_rowid": False},
    )


class SessionToolUse(Base):
    """One use of a tool, as far as the lines of one session tell of it."""

    __tablename__ = "claude_session_tool_uses"

    digest_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    call: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """A hash of the tool use's id."""
    copied_from: Mapped[str] = mapped_column(Text, primary_key=True, server_default=text("''"))
    asked_at: Mapped[int | None] = mapped_column(BigInteger)
    answered_at: Mapped[int | None] = mapped_column(BigInteger)
    failed: Mapped[int | None] = mapped_column(SmallInteger)
    """1 if a result is an error, 0 if none is, NULL without a result."""
    shared: Mapped[int] = mapped_column(SmallInteger)
    """As in SessionCall."""
    project_key: Mapped[str] = mapped_column(Text)
    tool: Mapped[str | None] = mapped_column(Text)
    """NULL if there is only a result."""

    __table_args__ = (
        Index("claude_session_tool_uses_call_idx", "call"),
        Index(
            "claude_session_tool_uses_tool_idx",
            *("tool", "shared", "asked_at", "failed", "answered_at", "digest_id"),
        ),
        Index("claude_session_tool_uses_shared_idx", "digest_id", **partial_where("shared = 1")),
        {"sqlite_with_rowid": False},
    )


class SessionText(Base):
    """The words of one entry: those of what it says, or those that its tools were given and returned.

    On SQLite, `claude_session_words` is the index over them.
    """

    __tablename__ = "claude_session_texts"

    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True, autoincrement=False)
    """Twice the entry's id, plus one for the tools' words. Newer texts have larger ids."""
    digest_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[int] = mapped_column(BigInteger)
    """When the line was written, or else stored."""
    project_key: Mapped[str] = mapped_column(Text)
    words: Mapped[str] = mapped_column(WORDS)

    __table_args__ = (
        Index("claude_session_texts_digest_idx", "digest_id"),
        # Empty on SQLite. It exists there because Alembic compares the indexes of both databases with these.
        Index(
            "claude_session_texts_words_idx",
            "words",
            postgresql_using="gin",
            sqlite_where=text("id IS NULL"),
        ),
    )


event.listen(
    SessionText.__table__,
    "after_create",
    DDL(create_word_index("")).execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]
)
event.listen(
    SessionText.__table__,
    "before_drop",
    DDL(f"DROP TABLE {WORD_INDEX}").execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]
)
