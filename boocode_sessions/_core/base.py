"""What every model of ours begins with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, text
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The declarative base of our models, with a MetaData of its own.

    `Base.metadata.tables[...].to_metadata(other)` takes a table into a host's MetaData.
    """

    metadata = MetaData()


def only(condition: str) -> dict[str, Any]:
    """What makes an index of both databases one of these rows alone."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
