"""SQL statements that store calls, tool uses and texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from boocode_sessions._core.sql.functions import earlier_of, greater_text, hex_bytes, later_of
from boocode_sessions._core.statements.derived import CALLS, DIGEST, DIGESTS, TEXTS, USES, YES, Tokens
from boocode_sessions._core.statements.parameters import PROJECT
from boocode_sessions._core.statements.read import ONE

_MERGES: dict[Table, dict[str, Callable[..., ColumnElement[Any]]]] = {
    CALLS: {
        "at": earlier_of,
        "said_at": earlier_of,
        "quarter": earlier_of,
        "shared": later_of,
        "model": greater_text,
        **dict.fromkeys(Tokens._fields, later_of),
    },
    USES: {
        "tool": greater_text,
        "failed": later_of,
        "asked_at": earlier_of,
        "answered_at": earlier_of,
    },
    TEXTS: {},
}
"""How a column's new value is merged with the stored one. The other columns stay as they are."""


@cache
def upsert(table: Table, dialect: str, *, in_values: bool) -> Executable:
    """Merge rows into the stored ones. Parameters: see `_insertion`."""
    insert = _insertion(table, dialect, in_values=in_values)
    merged = {name: merge(table.c[name], insert.excluded[name]) for name, merge in _MERGES[table].items()}
    if not merged:
        insert = insert.on_conflict_do_nothing()
    elif isinstance(insert, sqlite.Insert):
        insert = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=merged)
    else:  # by name, because a distributed table's key has one more column
        insert = insert.on_conflict_do_update(constraint=f"{table.name}_pkey", set_=merged)
    return insert.returning(table.c.digest_id) if in_values else insert


def _insertion(table: Table, dialect: str, *, in_values: bool) -> postgresql.Insert | sqlite.Insert:
    """Build the INSERT of rows that may be there.

    On SQLite, and `in_values` for a distributed database, it takes one parameter set per row, named after the
    columns. On a plain PostgreSQL that takes five times as long. There it takes `rows`, a JSON array with an
    array for each row, in the columns' order.
    """
    if dialect == "sqlite":
        return sqlite.insert(table)
    if in_values:
        return postgresql.insert(table)
    items = (
        func.jsonb_array_elements(cast(bindparam("rows", type_=Text), JSONB))
        .table_valued(column("value", JSONB), name="items")
        .render_derived()
    )
    values: list[ColumnElement[Any]] = []
    for place, target in enumerate(table.columns):
        text = items.c.value.op("->>", return_type=Text())(literal_column(str(place)))
        kind = target.type
        values.append(hex_bytes(text) if isinstance(kind, LargeBinary) else cast(text, kind))
    return postgresql.insert(table).from_select(list(table.columns), select(*values), include_defaults=False)


@cache
def select_repeated_calls(table: Table) -> Select[bytes]:
    """Select those of `calls` that have several rows. Shape: (call,) per call.

    Served by: claude_session_calls_call_idx, claude_session_tool_uses_call_idx.
    """
    return select(table.c.call).where(_is_of_calls(table)).group_by(table.c.call).having(func.count() > ONE)


@cache
def select_rows_of(table: Table) -> Select[*tuple[Any, ...]]:
    """Select the rows of `calls`.

    Shape: (call, project_key, digest_id, copied_from, session_id, shared) per row. The session is None if
    somebody removed its digest but not what was taken from it.
    """
    c, digest = table.c, DIGESTS.c
    columns = (c.call, c.project_key, c.digest_id, c.copied_from, digest.session_id, c.shared)
    same = (digest.project_key == c.project_key) & (digest.id == c.digest_id)
    return select(*columns).join_from(table, DIGESTS, same, isouter=True).where(_is_of_calls(table))


@cache
def mark_shared(table: Table) -> Update:
    """Mark those of `calls` as shared that one digest has as copies from one session, or as its own.

    Parameters: in_project, in_digest, copy, calls.
    """
    c = table.c
    of_digest = (c.project_key == PROJECT, c.digest_id == DIGEST)
    copied = c.copied_from == bindparam("copy", type_=Text)
    return update(table).where(*of_digest, copied, _is_of_calls(table)).values(shared=YES)


def _is_of_calls(table: Table) -> ColumnElement[bool]:
    return table.c.call.in_(bindparam("calls", expanding=True, type_=LargeBinary))
