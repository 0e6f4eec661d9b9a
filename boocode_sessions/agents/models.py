"""The table that says which host runs a chat's agent and what the chat has spent."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Float, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions.models import Base

_ZERO = text("0")


class ClaudeAgentSession(Base):
    """One agent of one chat. A host joins this table to its own table of chats by `chat_id`."""

    __tablename__ = "claude_agent_sessions"

    chat_id: Mapped[str] = mapped_column(Text, primary_key=True)
    """The host's id of the chat, as text."""
    agent: Mapped[str] = mapped_column(Text, primary_key=True)
    """The host's name for this agent of the chat."""
    backend: Mapped[str] = mapped_column(Text, server_default=text("'claude_sdk'"))
    """The backend that runs the agent. `migrations.agent_sessions.allow_backends` allows more names."""
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    """The Claude session that the chat continues in. It is set before the agent's process starts."""
    state: Mapped[str] = mapped_column(Text, server_default=text("'idle'"))
    """`running` while a turn or a background task runs, else `idle`. If a row is `running` but its lease has
    run out, its host has died."""
    incomplete: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """True if the database lacks lines that the agent wrote. `boocode-sessions check` shows more."""
    host: Mapped[str | None] = mapped_column(Text)
    """The machine of the latest holder."""
    pid: Mapped[int | None] = mapped_column(Integer)
    """The process id of the latest holder on that machine."""
    holder: Mapped[str | None] = mapped_column(Text)
    """The backend that held the chat last: a random id, new for every process."""
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the lease runs out, by the database's clock. NULL while the chat is free."""
    fencing_token: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """Grows whenever the chat changes hands. A write with an older token is refused."""
    repairs: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """The number of repairs from the agent's own file. An append that began before the latest is refused."""
    settlements: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """The number of the holder's latest settlement. It tells a retry whether the first attempt landed."""
    turns: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """The number of prompts that were answered, including those answered with an error."""
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cost_usd: Mapped[float] = mapped_column(Float(53), server_default=_ZERO)
    """The chat's cost as the agent reports it, each dollar counted once."""
    last_error: Mapped[str | None] = mapped_column(Text)
    """The kind of failure of the latest turn. NULL if it succeeded."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)

    __table_args__ = (
        CheckConstraint("backend IN ('claude_sdk', 'pty')", name="claude_agent_sessions_backend_check"),
        Index("claude_agent_sessions_session_idx", "project_key", "session_id"),
    )
