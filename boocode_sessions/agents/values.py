"""Values of JSON that somebody else has written."""

from collections.abc import Mapping
from typing import Any, cast


def get(value: object, name: str) -> Any:  # noqa: ANN401 - whatever was written
    """What an object has under a name; None if it has nothing, or is no object."""
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None


def get_count(value: object, name: str) -> int:
    """As `get`, for a number; 0 for anything else."""
    found = get(value, name)
    return found if isinstance(found, int) else 0


def get_objects(value: object, name: str) -> list[Any]:
    """As `get`, for a list; an empty one for anything else."""
    found = get(value, name)
    return cast("list[Any]", found) if isinstance(found, list) else []
