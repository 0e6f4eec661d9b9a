"""The tables, as declarative models that a host can query, join and relate to.

The migrations make the schema; these describe it. A test holds the two equal on both databases.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from boocode_sessions._core.attributes import EntryAttributes
from boocode_sessions._core.base import Base, only
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
"""Our own: packages that share `alembic_version` overwrite each other's."""

COMPATIBLE_RANGE = "compatible_range"
"""Its column that says which versions of the package go with the schema: from "0001" to the schema's own, as
"0001..0003". A version that only adds to the schema leaves the beginning where it is."""

UNPLACED = 2**63 - 1
"""The `position` of a row that another program inserted, until we place it: behind every placed one."""


class ClaudeSessionEntry(EntryAttributes, Base):
    """One line of a transcript.

    The columns from `type` to `forked_from` are values of the line that questions ask of many lines. They are
    NULL where the line does not say them, and on unplaced rows. The attributes of `EntryAttributes`, such as
    `text` and `tool_names`, are read from `entry` itself.
    """

    __tablename__ = "claude_session_entries"

    # Fixed-length columns first: PostgreSQL then pads nothing, and SQLite reads a row only as far as asked.
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True, autoincrement=True)
    """The row's identity. It orders unplaced rows only."""
    position: Mapped[int] = mapped_column(BigInteger, server_default=text(str(UNPLACED)))
    """The entry's place among all entries of its session; UNPLACED on rows of other writers."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=storage_clock())
    """Storage time."""
    said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the agent wrote the line, by its own clock."""
    size: Mapped[int | None] = mapped_column(Integer)
    """Bytes of the line as JSON."""
    input_tokens: Mapped[int | None] = mapped_column(Integer)
    """Tokens that the line's API call had used so far. A call spans several lines, whose figures grow."""
    output_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_read_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_write_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_write_1h_tokens: Mapped[int | None] = mapped_column(Integer)
    """Of `cache_write_tokens`, those that are kept for an hour."""
    tool_count: Mapped[int | None] = mapped_column(SmallInteger)
    """How many tool uses an answer asks for, or how many results a user's line holds."""
    failed: Mapped[bool | None] = mapped_column(Boolean)
    """Whether the line's only tool result is an error."""
    is_first: Mapped[bool | None] = mapped_column(Boolean)
    """True on the first placed entry of a transcript, NULL on the others."""
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    subpath: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """`''` for the main transcript."""
    dedup_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    """What makes delivery exactly once; NULL on unplaced rows."""
    type: Mapped[str | None] = mapped_column(Text)
    """`user`, `assistant`, `system`, `attachment`, ...: a message when it is one of the first two."""
    message_id: Mapped[str | None] = mapped_column(Text)
    """The API message that an answer's line is a part of."""
    request_id: Mapped[str | None] = mapped_column(Text)
    """The API request that it came with."""
    model: Mapped[str | None] = mapped_column(Text)
    """The model that answered, with `-fast` behind its name where it did so in fast mode."""
    tool_name: Mapped[str | None] = mapped_column(Text)
    """The tool that an answer calls, where it calls one."""
    tool_use_id: Mapped[str | None] = mapped_column(Text)
    """The tool use that an answer asks for or that a result answers, where it is one."""
    forked_from: Mapped[str | None] = mapped_column(Text)
    """The session that a fork copied the line from."""
    entry: Mapped[dict[str, Any]] = mapped_column(JSON_DOCUMENT)
    """The line, queryable. Where JSONB would have changed it, the nearest value that it accepts."""
    verbatim: Mapped[str | None] = mapped_column(Text)
    """The line's exact JSON text, only where `entry` is not exact."""

    __table_args__ = (
        # Unique, so that an engine which distributes by project can take it as its primary key.
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
            **only("dedup_key IS NOT NULL"),
        ),
        # One row per transcript: what list_subkeys reads.
        Index(
            "claude_session_entries_first_idx",
            "project_key",
            "session_id",
            "subpath",
            **only("is_first IS NOT NULL"),
        ),
        # Only rows of other writers: listings read them here, and every other session from its own row, so
        # that they grow with sessions and not with entries.
        Index(
            "claude_session_entries_unplaced_idx",
            "project_key",
            "session_id",
            "subpath",
            "created_at",
            **only(f"position = {UNPLACED}"),
        ),
        # `queries.tool_calls` reads this alone to find its calls: a use and its result stand together.
        Index(
            "claude_session_entries_tools_idx",
            *("tool_use_id", "said_at", "created_at", "tool_count", "tool_name", "failed", "forked_from"),
            **only("tool_count IS NOT NULL"),
        ),
        # Without it SQLite gives deleted rows' ids out again.
        {"sqlite_autoincrement": True},
    )


class ClaudeSession(Base):
    """One session: the counter that orders its entries, its folded summary, and counts over its entries."""

    __tablename__ = "claude_sessions"

    project_key: Mapped[str] = mapped_column(Text, primary_key=True)
    session_id: Mapped[str] = mapped_column(Text, primary_key=True)
    next_position: Mapped[int] = mapped_column(BigInteger)
    """The position that the next entry gets. It begins at the clock's microseconds and only grows, so that a
    writer that finds it as it left it knows that nobody wrote in between, after a deletion too."""
    main_position: Mapped[int | None] = mapped_column(BigInteger)
    """The position of the newest placed main entry; NULL without one."""
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The newest main entry's `created_at`; it never decreases. NULL without a main entry."""
    entries: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Placed entries of all its transcripts."""
    subagents: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Transcripts beside the main one that have placed entries."""
    bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Bytes of those entries as JSON."""
    tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Tokens of all kinds that its API calls used, each call once, at its largest."""
    first_said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The earliest `said_at` of its entries."""
    last_said_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The latest."""
    held: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Exempts the session from pruning."""
    data: Mapped[str | None] = mapped_column(Text)
    """The output of the SDK's fold over the placed main entries as JSON text, verbatim: a title can hold a
    NUL, which JSONB refuses. NULL where there is no fold."""
