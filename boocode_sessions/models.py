"""The two tables, as declarative models that a host can query, join and relate to.

The migrations make the schema; these describe it. A test holds the two equal on both databases.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnClause, Index, Integer, MetaData, Text, column, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from boocode_sessions._core.attributes import EntryAttributes
from boocode_sessions._core.sql.entry_json import JSON_DOCUMENT
from boocode_sessions._core.sql.facts import fact, has_facts
from boocode_sessions._core.sql.functions import UTCDateTime, storage_clock

SCHEMA_VERSION = "0001"
"""The migration that this version of the package needs."""

VERSION_TABLE = "boocode_sessions_alembic_version"
"""Our own: packages that share `alembic_version` overwrite each other's."""


class Base(DeclarativeBase):
    """The declarative base of our models, with a MetaData of its own.

    `Base.metadata.tables[...].to_metadata(other)` takes a table into a host's MetaData.
    """

    metadata = MetaData()


_ID = BigInteger().with_variant(Integer(), "sqlite")
_UNCLAIMED = text("dedup_key IS NULL")
_CLAIMED = text("dedup_key IS NOT NULL")
_FACTS: ColumnClause[Any] = column("facts")
_UNREAD = text("facts IS NULL")


class ClaudeSessionEntry(EntryAttributes, Base):
    """One line of a transcript.

    Beside its columns it has what the line says: `type`, `timestamp`, `text`, `tool_names` and the other
    attributes of `EntryAttributes`, on an instance and in SQL.
    """

    __tablename__ = "claude_session_entries"

    id: Mapped[int] = mapped_column(_ID, primary_key=True, autoincrement=True)
    """Replay order. Within a transcript ids follow commit order."""
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    subpath: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """`''` for the main transcript."""
    dedup_key: Mapped[str | None] = mapped_column(Text)
    """What makes delivery exactly once; NULL on rows of other writers that nobody has claimed yet."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=storage_clock())
    """Storage time."""
    facts: Mapped[list[Any] | None] = mapped_column(JSON_DOCUMENT)
    """What `queries` ask of many lines (`codec.FACTS`); NULL where they are to read it from `entry`. Who
    changes an `entry` by hand sets it to NULL."""
    entry: Mapped[dict[str, Any]] = mapped_column(JSON_DOCUMENT)
    """The line, queryable. Where JSONB would have changed it, the nearest value that it accepts."""
    verbatim: Mapped[str | None] = mapped_column(Text)
    """The line's exact JSON text, only where `entry` is not exact."""

    __table_args__ = (
        # Unique, so that an engine which distributes by project can take it as its primary key.
        Index(
            "claude_session_entries_transcript_idx",
            "project_key",
            "session_id",
            "subpath",
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
            postgresql_where=_CLAIMED,
            sqlite_where=_CLAIMED,
        ),
        # Holds only rows of other writers: the listing reads them here, and every other session from its
        # summary, so that it grows with sessions and not with entries.
        Index(
            "claude_session_entries_unclaimed_idx",
            "project_key",
            "subpath",
            "session_id",
            "created_at",
            postgresql_where=_UNCLAIMED,
            sqlite_where=_UNCLAIMED,
        ),
        # `queries` answer from it alone, without the table. Only on PostgreSQL: SQLAlchemy warns of every
        # index of an expression that it meets on SQLite.
        Index(
            "claude_session_entries_facts_idx",
            fact(_FACTS, "at"),
            "facts",
            "id",
            postgresql_where=has_facts(_FACTS),
        ).ddl_if(dialect="postgresql"),
        # Nearly empty: what they have to read in the table.
        Index(
            "claude_session_entries_unread_idx",
            "id",
            postgresql_where=_UNREAD,
            sqlite_where=_UNREAD,
        ),
        # Without it SQLite gives deleted rows' ids out again, and a reader that follows ids misses rows.
        {"sqlite_autoincrement": True},
    )


class ClaudeSessionSummary(Base):
    """One session: its folded summary, and the row that its writers take turns on."""

    __tablename__ = "claude_session_summaries"

    project_key: Mapped[str] = mapped_column(Text, primary_key=True)
    session_id: Mapped[str] = mapped_column(Text, primary_key=True)
    turn: Mapped[int] = mapped_column(BigInteger)
    """Changes with every write to the session and never comes again: a writer that finds the turn it left
    knows that nobody wrote in between."""
    folded_id: Mapped[int | None] = mapped_column(BigInteger)
    """The newest main entry that `data` holds."""
    data: Mapped[str | None] = mapped_column(Text)
    """The output of the SDK's fold as JSON text, verbatim: a title can hold a NUL, which JSONB refuses."""
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the main transcript was last written to, by the clock of `created_at`, never before its newest
    entry; NULL while only subagents have written."""
    held: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Exempts the session from pruning."""
