"""The application's table of chats, related to the agent behind each chat."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from boocode_sessions.agents import ClaudeAgentSession


class Base(DeclarativeBase):
    """The application's own base. It does not include our tables."""


class Chat(Base):
    """One chat of a user."""

    __tablename__ = "chats"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]

    # The arguments are functions because our models have a registry of their own. There is no foreign key,
    # because a chat has no agent before its first prompt.
    agent: Mapped[ClaudeAgentSession | None] = relationship(
        lambda: ClaudeAgentSession,
        primaryjoin=lambda: Chat.id == ClaudeAgentSession.chat_id,
        foreign_keys=lambda: ClaudeAgentSession.chat_id,
        viewonly=True,
        uselist=False,
    )
