"""The application's table."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The application's own base. It does not include our tables."""


class Chat(Base):
    """One chat of a user, with an agent behind it."""

    __tablename__ = "chats"

    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]
