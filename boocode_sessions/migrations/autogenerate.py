"""Filters for a host's env.py, with which autogenerate leaves our tables alone."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.schema import SchemaItem

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.sql.types import WORD_INDEX
from boocode_sessions.models import VERSION_TABLE, Base

OWNED = frozenset(
    {
        *(table.name for table in Base.metadata.tables.values()),
        *("claude_agent_sessions", VERSION_TABLE),
        *(WORD_INDEX + part for part in ("", "_config", "_data", "_docsize", "_idx")),
    }
)
"""Every table that our migrations make. The table of `agents` is named here because that feature is optional.
The last ones are those in which SQLite keeps the word index."""

IncludeName = Callable[[str | None, Any, Any], bool]
IncludeObject = Callable[[SchemaItem, str | None, Any, bool, SchemaItem | None], bool]


@checked
def ignore_owned(include_name: IncludeName | None = None) -> IncludeName:
    """Return a filter for `context.configure(include_name=...)` that leaves out our tables.

    `include_name` is the host's own filter, which is asked about everything else.
    """

    def include(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
        if (name if type_ == "table" else parent_names.get("table_name")) in OWNED:
            return False
        return include_name is None or include_name(name, type_, parent_names)

    return include


@checked
def ignore_owned_objects(include_object: IncludeObject | None = None) -> IncludeObject:
    """Return a filter for `context.configure(include_object=...)`, if the host's MetaData has our tables too.

    Alembic asks `include_name` only about the database: without this filter it would propose to create them.
    `include_object` is the host's own filter, which is asked about everything else.
    """

    def include(
        item: SchemaItem, name: str | None, type_: str, reflected: bool, compare_to: SchemaItem | None
    ) -> bool:
        table = name if type_ == "table" else getattr(getattr(item, "table", None), "name", None)
        if table in OWNED:
            return False
        return include_object is None or include_object(item, name, type_, reflected, compare_to)

    return include


def has_model(_item: SchemaItem, name: str | None, type_: str, _reflected: bool, _other: object) -> bool:
    """Leave out SQLite's index tables, as an `include_object` of our own chain."""
    return type_ != "table" or name is None or not name.startswith(WORD_INDEX)
