"""Counts each API call once. The database sums them up; those in several sessions are merged here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    cast,
    func,
    literal_column,
    null,
    select,
)

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.missing import Missing, counted_records
from boocode_sessions._core.derived.records import CallRecord
from boocode_sessions._core.keys import Session
from boocode_sessions._core.statements.derived import QUARTER, Tokens
from boocode_sessions._core.statements.derived_reads import DerivedQuery, is_single, is_summed, of_digest
from boocode_sessions.models import SessionCall, SessionDigest
from boocode_sessions.queries.scope import Scope

_DAY = literal_column("96", Integer())
"""Quarter hours of a day, as a literal: PostgreSQL would take equal parameters for different values."""


class _Merged(NamedTuple):
    """A call that may have lines in several sessions."""

    record: CallRecord
    session: Session
    """The session of the line that was stored first."""


def grouped_calls(
    connection: StoreConnection, missing: Missing, scope: Scope, groups: frozenset[str], *, utc: bool
) -> Iterator[dict[str, Any]]:
    """Yield calls and tokens per group. A group may come several times.

    Args:
        connection: Where to ask.
        missing: The calls that the derived tables lack.
        scope: The calls to count.
        groups: Some of day, model, project_key and session_id. A `day` is the number of a quarter hour.
        utc: True if days are UTC days, so that any quarter hour of the day will do.
    """
    statement = _statement(
        groups, scope.derived_query(connection, open_sessions=missing.open_sessions), utc=utc
    )
    merged: dict[bytes, _Merged] = {}
    parameters = {**scope.parameters, **missing.parameters}
    for row in connection.select(statement, parameters) if missing.readable else ():
        call, position, row_id, at, day, model, project, session, count, *tokens = row
        if call is None:
            values = {"day": day, "model": model, "project_key": project, "session_id": session}
            counts = {"calls": count, **Tokens(*map(int, tokens))._asdict()}
            yield {name: values[name] for name in groups} | counts
        else:
            record = CallRecord(position, row_id, at, day, model, Tokens(*tokens))
            _merge(merged, call, record, Session(project, session))
    for of_session in counted_records(connection, missing):
        for (call, _), record in of_session.calls.items():
            _merge(merged, call, record, of_session.session)
    is_in_range = scope.time_test()
    for record, session in merged.values():
        if is_in_range(record.at):
            said_at = record.said_at
            values = {
                "day": None if said_at is None else said_at // QUARTER,
                "model": record.model,
                **session._asdict(),
            }
            yield {name: values[name] for name in groups} | {"calls": 1, **record.tokens._asdict()}


def _merge(merged: dict[bytes, _Merged], call: bytes, record: CallRecord, session: Session) -> None:
    known = merged.get(call)
    if known is not None:
        first = record[:2] < known.record[:2]
        merged[call] = _Merged(known.record.merged(record), session if first else known.session)
    else:
        merged[call] = _Merged(record, session)


@cache
def _statement(groups: frozenset[str], query: DerivedQuery, *, utc: bool) -> Select[*tuple[Any, ...]]:
    """Select sums of the calls with lines in one session only, and each of the other calls.

    It is one statement, so that no call is counted twice, or not at all, while others catch up. Shape: (call,
    position, row_id, at), NULLs for a sum, then (said_at or its quarter, model, project_key, session_id,
    calls, tokens ...). Served by: claude_session_calls_quarter_idx, claude_session_calls_shared_idx.
    """
    no_key = (cast(null(), LargeBinary), *(cast(null(), BigInteger),) * 3)
    with_place = bool({"project_key", "session_id"} & groups)
    # First group by the index's columns, then by the groups that were asked for.
    finest: dict[str, ColumnElement[Any]] = {}
    if "day" in groups:
        finest["quarter"] = SessionCall.quarter.expression
    if "model" in groups:
        finest["model"] = SessionCall.model.expression
    if with_place:
        finest["digest_id"] = SessionCall.digest_id.expression
    part = (
        select(
            *finest.values(),
            func.count().label("calls"),
            *(cast(func.sum(getattr(SessionCall, name)), BigInteger).label(name) for name in Tokens._fields),
        )
        .where(*is_summed(SessionCall, query), *query.times(SessionCall.at.expression), *query.quarters())
        .group_by(*finest.values())
        .subquery("part")
    )
    chosen: dict[str, ColumnElement[Any]] = {name: part.c.model for name in groups if name == "model"}
    if "day" in groups:
        chosen["day"] = part.c.quarter // _DAY * _DAY if utc else part.c.quarter
    if with_place:
        named = {"project_key": SessionDigest.project_key, "session_id": SessionDigest.session_id}
        chosen |= {name: column.expression for name, column in named.items() if name in groups}
    kinds = {"day": BigInteger, "model": Text, "project_key": Text, "session_id": Text}
    sums: Select[*tuple[Any, ...]] = select(
        *no_key,
        *(cast(chosen[name], kind) if name in chosen else cast(null(), kind) for name, kind in kinds.items()),
        cast(func.sum(part.c.calls), BigInteger),
        *(cast(func.sum(part.c[name]), BigInteger) for name in Tokens._fields),
    ).having(func.sum(part.c.calls) > literal_column("0"))
    if with_place:
        sums = sums.join_from(part, SessionDigest, SessionDigest.id == part.c.digest_id)
    if chosen:
        sums = sums.group_by(*chosen.values())
    single = (
        select(
            SessionCall.call,
            SessionCall.position,
            SessionCall.row_id,
            SessionCall.at,
            SessionCall.said_at,
            SessionCall.model,
            SessionDigest.project_key,
            SessionDigest.session_id,
            cast(literal_column("1"), BigInteger),
            *(cast(getattr(SessionCall, name), BigInteger) for name in Tokens._fields),
        )
        .join_from(SessionCall, SessionDigest, of_digest(SessionCall))
        .where(*is_single(SessionCall, query))
    )
    return sums.union_all(single)  # type: ignore[return-value]
