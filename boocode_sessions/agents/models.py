"""Which host holds a chat's agent, and what the chat has spent: a table to join to the host's own."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Float, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions.models import Base

_ZERO = text("0")


class ClaudeAgentSession(Base):
    """One agent of one chat. A host joins it to its own table of chats by `chat_id`."""

    __tablename__ = "claude_agent_sessions"

    chat_id: Mapped[str] = mapped_column(Text, primary_key=True)
    """The host's own id of the chat, as text."""
    agent: Mapped[str] = mapped_column(Text, primary_key=True)
    """Which of the chat's agents: a name of the host's."""
    backend: Mapped[str] = mapped_column(Text, server_default=text("'claude_sdk'"))
    """What runs the agent. `migrations.agent_sessions.allow_backends` lets it name the host's others."""
    project_key: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str] = mapped_column(Text)
    """The Claude session that the chat goes on in. Known before the agent's process begins."""
    state: Mapped[str] = mapped_column(Text, server_default=text("'idle'"))
    """`idle`, or `running` while a turn or a background task is under way. A row that is `running` with a
    lease that has run out was left by a host that died."""
    incomplete: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Whether the database lacks lines that the agent wrote: `boocode-sessions check` tells more."""
    host: Mapped[str | None] = mapped_column(Text)
    """The machine of the newest holder."""
    pid: Mapped[int | None] = mapped_column(Integer)
    """The host's process on it."""
    holder: Mapped[str | None] = mapped_column(Text)
    """The backend that had the chat last: a random id, new with every process."""
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Until when nobody else may take the chat, by the database's clock; NULL while it is free."""
    fencing_token: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """Grows whenever the chat changes hands. A write that comes with an older one is refused."""
    repairs: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """How often lines came from the agent's own file: an append that was begun before is refused."""
    settlements: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """The number of what the holder has settled last: tells a retry whether its first try has landed."""
    turns: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    """Prompts that were answered, be it with an error."""
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, server_default=_ZERO)
    cost_usd: Mapped[float] = mapped_column(Float(53), server_default=_ZERO)
    """What the agent says that it cost, each dollar once."""
    last_error: Mapped[str | None] = mapped_column(Text)
    """The kind of the newest turn's failure; NULL after one that succeeded."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)

    __table_args__ = (
        CheckConstraint("backend IN ('claude_sdk', 'pty')", name="claude_agent_sessions_backend_check"),
        Index("claude_agent_sessions_session_idx", "project_key", "session_id"),
    )
