"""The tables as declarative models, which a host can query, join and relate to.

The migrations create the schema, and these models describe it. A test compares the two on both databases.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from boocode_sessions._core.attributes import EntryAttributes
from boocode_sessions._core.base import Base, partial_where
from boocode_sessions._core.derived_models import SessionCall, SessionDigest, SessionText, SessionToolUse
from boocode_sessions._core.sql.functions import storage_clock
from boocode_sessions._core.sql.types import JSON_DOCUMENT, ROW_ID, UTCDateTime

__all__ = [
    "COMPATIBLE_RANGE",
    "SCHEMA_VERSION",
    "UNPLACED",
    "VERSION_TABLE",
    "Base",
    "ClaudeSession",
    "ClaudeSessionEntry",
    "SessionCall",
    "SessionDigest",
    "SessionText",
    "SessionToolUse",
]

SCHEMA_VERSION = "0001"
"""The migration that this version of the package needs."""

VERSION_TABLE = "boocode_sessions_alembic_version"
"""Our own version table, because packages that share `alembic_version` overwrite each other's version."""

COMPATIBLE_RANGE = "compatible_range"
"""The column of VERSION_TABLE that says which versions of the package work with the schema: those whose
SCHEMA_VERSION is in its range, such as "0001..0003". The range ends at the schema's own version. A migration
that only adds to the schema keeps the range's start."""

UNPLACED = 2**63 - 1
"""The `position` of a row that another program inserted, until we place it. Such rows sort last."""


class ClaudeSessionEntry(EntryAttributes, Base):
    """One line of a transcript.

    The columns from `type` to `forked_from` repeat values of the line, for queries over many lines. They are
    NULL on unplaced rows, and where the line lacks the value. The attributes of `EntryAttributes`, such as
    `text` and `tool_names`, read `entry` itself.
    """

    __tablename__ = "claude_session_entries"

    # Fixed-length columns come first, so that PostgreSQL pads nothing, and so that SQLite, which reads a row
    # up to the last column asked for, reads little.
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True, autoincrement=True)
    """The row's identity. Only unplaced rows are ordered by it."""
    position: Mapped[int] = mapped_column(BigInteger, server_default=text(str(UNPLACED)))
    """The entry's place among all entries of its session. UNPLACED on other writers' rows."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=storage_clock())
    """Storage time."""
    said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the agent wrote the line, by the agent's clock."""
    size: Mapped[int | None] = mapped_column(Integer)
    """The line's size as JSON, in bytes."""
    input_tokens: Mapped[int | None] = mapped_column(Integer)
    """Input tokens that the API call had used by this line. A call spans several lines, whose counts grow."""
    output_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_read_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_write_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_write_1h_tokens: Mapped[int | None] = mapped_column(Integer)
    """The part of `cache_write_tokens` that the cache keeps for an hour."""
    tool_count: Mapped[int | None] = mapped_column(SmallInteger)
    """The number of tool uses in an answer, or of tool results in a user's line."""
    failed: Mapped[bool | None] = mapped_column(Boolean)
    """True if the line's only tool result is an error."""
    is_first: Mapped[bool | None] = mapped_column(Boolean)
    """True on the first placed entry of a transcript, NULL on all others."""
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    subpath: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """`''` for the main transcript."""
    dedup_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The idempotency key, which makes delivery exactly-once. NULL on unplaced rows."""
    type: Mapped[str | None] = mapped_column(Text)
    """`user`, `assistant`, `system`, `attachment`, ... The first two are messages."""
    message_id: Mapped[str | None] = mapped_column(Text)
    """The id of the API message that an answer's line is part of."""
    request_id: Mapped[str | None] = mapped_column(Text)
    """The id of the API request that brought the message."""
    model: Mapped[str | None] = mapped_column(Text)
    """The model that answered. Its name ends in `-fast` if it ran in fast mode."""
    tool_name: Mapped[str | None] = mapped_column(Text)
    """The tool that an answer calls, if it calls exactly one."""
    tool_use_id: Mapped[str | None] = mapped_column(Text)
    """The id of the tool use that an answer requests or a result answers, if it is exactly one."""
    forked_from: Mapped[str | None] = mapped_column(Text)
    """The session that a fork copied the line from."""
    entry: Mapped[dict[str, Any]] = mapped_column(JSON_DOCUMENT)
    """The line as a queryable value, or the nearest one that JSONB accepts if it would change the line."""
    verbatim: Mapped[str | None] = mapped_column(Text)
    """The line's exact JSON text, stored only if `entry` is not exact."""

    __table_args__ = (
        # Unique, so that a database that distributes by project can use it as the primary key.
        Index(
            "claude_session_entries_position_idx",
            "project_key",
            "session_id",
            "subpath",
            "position",
            "id",
            unique=True,
        ),
        Index(
            "claude_session_entries_dedup_idx",
            "project_key",
            "session_id",
            "subpath",
            "dedup_key",
            unique=True,
            **partial_where("dedup_key IS NOT NULL"),
        ),
        # One row per transcript, for list_subkeys.
        Index(
            "claude_session_entries_first_idx",
            "project_key",
            "session_id",
            "subpath",
            **partial_where("is_first IS NOT NULL"),
        ),
        # Only other writers' rows. Listings find these rows here, and read every other session from its own
        # row, so a listing's cost grows with sessions and not with entries.
        Index(
            "claude_session_entries_unplaced_idx",
            "project_key",
            "session_id",
            "subpath",
            "created_at",
            **partial_where(f"position = {UNPLACED}"),
        ),
        # `queries.tool_calls` finds its calls in this index alone: a use and its result are neighbors in it.
        Index(
            "claude_session_entries_tools_idx",
            *("tool_use_id", "said_at", "created_at", "tool_count", "tool_name", "failed", "forked_from"),
            **partial_where("tool_count IS NOT NULL"),
        ),
        # Without this, SQLite reuses the ids of deleted rows.
        {"sqlite_autoincrement": True},
    )


class ClaudeSession(Base):
    """One session: the counter that orders its entries, its folded summary, and counts over its entries."""

    __tablename__ = "claude_sessions"

    project_key: Mapped[str] = mapped_column(Text, primary_key=True)
    session_id: Mapped[str] = mapped_column(Text, primary_key=True)
    next_position: Mapped[int] = mapped_column(BigInteger)
    """The position that the next entry gets. It begins at the clock's microseconds and only grows. A writer
    that finds it unchanged knows that nobody wrote in between, even if the session was deleted and begun
    again."""
    main_position: Mapped[int | None] = mapped_column(BigInteger)
    """The position of the newest placed main entry, or NULL if there is none."""
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The newest main entry's `created_at`, or NULL if there is none. It never decreases."""
    entries: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The number of placed entries in all transcripts of the session."""
    subagents: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """The number of subagent transcripts that have placed entries."""
    bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The size of those entries as JSON, in bytes."""
    tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Tokens of all kinds that the session's API calls used. Each call counts once, at its largest."""
    first_said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The earliest `said_at` of the session's entries."""
    last_said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The latest `said_at` of the session's entries."""
    held: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """True if the session is exempt from pruning."""
    data: Mapped[str | None] = mapped_column(Text)
    """What the SDK's fold returned for the placed main entries, as its exact JSON text: a title can hold a
    NUL, which JSONB refuses. NULL if nothing has been folded."""
