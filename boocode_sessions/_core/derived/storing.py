"""Stores calls and tool uses, and marks those that several sessions tell of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.records import SessionRecords
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.statements import derived_writes as statements
from boocode_sessions._core.statements.derived import CALLS, QUARTER, USES
from boocode_sessions._core.statements.parameters import in_parts

_CALLS_A_STATEMENT = 500


class Digest(NamedTuple):
    """A session's digest, and the project that leads to its server."""

    project_key: str
    id: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that name it."""
        return {"in_project": self.project_key, "in_digest": self.id}


def store(connection: StoreConnection, taken: Sequence[tuple[Digest, SessionRecords]]) -> None:
    """Merge what the lines of these sessions tell into the stored rows."""
    calls: list[dict[str, Any]] = [
        {
            "digest_id": digest.id,
            "project_key": digest.project_key,
            "call": call,
            "copied_from": copied_from,
            "position": record.position,
            "row_id": record.row_id,
            "at": record.at,
            "said_at": record.said_at,
            "quarter": record.at // QUARTER,
            "model": record.model,
            **record.tokens._asdict(),
            "shared": int(bool(copied_from) or record.said_at != record.at),
        }
        for digest, records in taken
        for (call, copied_from), record in records.calls.items()
    ]
    uses: list[dict[str, Any]] = [
        {
            "digest_id": digest.id,
            "project_key": digest.project_key,
            "call": call,
            "copied_from": copied_from,
            **record._asdict(),
            "shared": int(bool(copied_from)),
        }
        for digest, records in taken
        for (call, copied_from), record in records.uses.items()
    ]
    for table, rows in ((CALLS, calls), (USES, uses)):
        if rows:
            merge(connection, table, rows)
            _mark_shared(connection, table, {row["call"] for row in rows})


def merge(connection: StoreConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Merge rows into a derived table."""
    in_values = is_distributed(connection.connection)
    statement = statements.upsert(table, connection.dialect, in_values=in_values)
    if in_values or connection.dialect == "sqlite":
        connection.write(statement, rows)
        return
    names = [column.name for column in table.columns]
    listed = [[row[name] if name != "call" else row[name].hex() for name in names] for row in rows]
    connection.write(statement, {"rows": json.dumps(listed)})


def _mark_shared(connection: StoreConnection, table: Table, calls: Iterable[bytes]) -> None:
    """Mark the calls that several sessions tell of. These sessions may be on several servers.

    A copy is always marked. It is no reason to mark the session that it is copied from, since only one of the
    two counts at a time.
    """
    found: dict[bytes, list[_StoredRow]] = {}
    for some in in_parts(sorted(calls), _CALLS_A_STATEMENT):
        twice = connection.select(statements.select_repeated_calls(table), {"calls": some}).scalars().all()
        for row in connection.select(statements.select_rows_of(table), {"calls": twice}) if twice else ():
            found.setdefault(row[0], []).append(_StoredRow(Digest(*row[1:3]), *row[3:]))
    shared: dict[tuple[Digest, str], list[bytes]] = {}
    for call, rows in found.items():
        for one in rows:
            if not one.shared and any(
                other is not one and other.copied_from != one.session_id for other in rows
            ):
                shared.setdefault((one.digest, one.copied_from), []).append(call)
    for (digest, copy), marked in sorted(shared.items()):
        for some in in_parts(marked, _CALLS_A_STATEMENT):
            connection.write(
                statements.mark_shared(table), {**digest.parameters, "copy": copy, "calls": some}
            )


class _StoredRow(NamedTuple):
    """A row that tells of a call or a tool use."""

    digest: Digest
    copied_from: str
    session_id: str | None
    shared: int
