"""The application's table of chats, each with the id of a Claude session."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from boocode_sessions import ClaudeSessionEntry

PROJECT_KEY = "host-app"
"""The project key of all sessions of this application, whatever folder its agents work in."""


class Base(DeclarativeBase):
    """The application's own base. It does not include our tables."""


class Chat(Base):
    """One chat of a user, with an agent behind it."""

    __tablename__ = "chats"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    session_id: Mapped[str] = mapped_column(unique=True)

    # The arguments are functions because our models have a registry of their own. There is no foreign key,
    # because a session has many entries, and no row before the first one.
    transcript: Mapped[list[ClaudeSessionEntry]] = relationship(
        lambda: ClaudeSessionEntry,
        primaryjoin=lambda: (
            (Chat.session_id == ClaudeSessionEntry.session_id)
            & (ClaudeSessionEntry.project_key == PROJECT_KEY)
            & (ClaudeSessionEntry.subpath == "")
        ),
        foreign_keys=lambda: ClaudeSessionEntry.session_id,
        order_by=lambda: (ClaudeSessionEntry.position, ClaudeSessionEntry.id),
        viewonly=True,
    )
