"""The declarative base of our models."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, text
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The declarative base of our models, with its own MetaData.

    `Base.metadata.tables[...].to_metadata(other)` copies a table to a host's MetaData.
    """

    metadata = MetaData()


def partial_where(condition: str) -> dict[str, Any]:
    """Return the arguments that limit an index to the rows that meet a condition, on both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}
