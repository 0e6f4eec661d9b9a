"""Reads values from JSON of any shape, which other programs have written."""

from collections.abc import Mapping
from typing import Any, cast


def get(value: object, name: str) -> Any:  # noqa: ANN401 - whatever was written
    """Return an object's member, or None if it has no such member or is not an object."""
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None


def get_count(value: object, name: str) -> int:
    """Like `get`, for whole numbers: 0 if the member is anything else."""
    found = get(value, name)
    return found if isinstance(found, int) else 0


def get_list(value: object, name: str) -> list[Any]:
    """Like `get`, for lists: an empty list if the member is anything else."""
    found = get(value, name)
    return cast("list[Any]", found) if isinstance(found, list) else []
