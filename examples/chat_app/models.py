"""The application's own table, which points at the agent behind a chat."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from boocode_sessions.agents import ClaudeAgentSession


class Base(DeclarativeBase):
    """The application's. It does not know of our tables."""


class Chat(Base):
    """One chat of a user."""

    __tablename__ = "chats"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]

    # A function, because our models are in a registry of their own; no foreign key, because a chat has no
    # agent before its first prompt.
    agent: Mapped[ClaudeAgentSession | None] = relationship(
        lambda: ClaudeAgentSession,
        primaryjoin=lambda: Chat.id == ClaudeAgentSession.chat_id,
        foreign_keys=lambda: ClaudeAgentSession.chat_id,
        viewonly=True,
        uselist=False,
    )
