"""The one plan of every append: advance the session's counter, then insert entries at their positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from boocode_sessions._core.append.request import Fence
from boocode_sessions._core.codec import (
    Cipher,
    EncodedEntry,
    Extracted,
    encode_rows,
    encode_summary,
    seal_entries,
    seal_summary,
)
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements.append import (
    PlanKind,
    advance,
    advance_alone,
    append_in_one,
    insert_entries,
    insert_few_entries,
    insert_many_entries,
    insert_rows,
    select_allowed,
    select_new_ids,
)
from boocode_sessions._core.statements.columns import COLUMNS
from boocode_sessions._core.statements.parameters import ENTRIES, in_transcript

PAGE_ROWS = 500
"""Maximum entries in one plan. Code that reads a transcript in pages uses this size too."""
PAGE_BYTES = 4 << 20
"""Maximum bytes of entries in one plan, unless the plan has a single entry."""
MAX_ENTRIES_AS_VALUES = 10
"""Maximum entries that a distributed database takes more quickly as VALUES than as one JSON parameter."""
MAX_BYTES_IN_ONE = 32 << 20
"""Maximum bytes of entries in one statement, where they travel in one JSON document. PostgreSQL refuses JSON
documents over 256 MB, and a large entry with a NUL is sent twice."""


class Tail(NamedTuple):
    """The end of a transcript."""

    position: int
    """The position of the transcript's newest entry."""
    call: tuple[str | None, str | None] | None
    """The message id and request id of the last API call."""
    call_tokens: int
    """The tokens that this call had used so far."""


class Version(NamedTuple):
    """A session's state as a writer knows it. It is current while the row's `next_position` is the same."""

    next_position: int
    data: Mapping[str, Any] | None
    """The folded summary; None before the first main entry, without the SDK, and after its fold failed."""
    tails: Mapping[str, Tail]
    """The ends of the transcripts that the writer knows, by subpath."""


class Plan(NamedTuple):
    """One append, ready to run."""

    transcript: Transcript
    encoded: Sequence[EncodedEntry]
    """The entries, encrypted if the store is."""
    parameters: Mapping[str, Any]
    """Parameters of `statements.append.advance` and of the insert."""
    kind: PlanKind
    opens: bool
    """True if the plan's first entry begins its transcript."""
    then: Version
    """The session's state after the plan has run."""


def pages(encoded: Sequence[EncodedEntry]) -> list[Sequence[EncodedEntry]]:
    """Split a batch into parts that each fit one plan."""
    parts: list[Sequence[EncodedEntry]] = []
    start = size = 0
    for end, item in enumerate(encoded):
        if end > start and (end - start == PAGE_ROWS or size + item.size > PAGE_BYTES):
            parts.append(encoded[start:end])
            start, size = end, 0
        size += item.size
    if len(encoded) > start:
        parts.append(encoded[start:])
    return parts


def make_plans(
    transcript: Transcript,
    encoded: Sequence[EncodedEntry],
    version: Version,
    *,
    guarded: bool,
    fence: Fence | None = None,
    cipher: Cipher | None = None,
) -> list[Plan]:
    """Make the plans that append a batch to a session at `version`, one plan per page.

    `cipher` encrypts what the plans store.
    """
    plans: list[Plan] = []
    for page in pages(encoded):
        plans.append(_make_plan(transcript, page, version, guarded=guarded, fence=fence, cipher=cipher))
        version = plans[-1].then
    return plans


def _make_plan(
    transcript: Transcript,
    encoded: Sequence[EncodedEntry],
    version: Version,
    *,
    guarded: bool,
    fence: Fence | None,
    cipher: Cipher | None,
) -> Plan:
    tail = version.tails.get(transcript.subpath)
    next_position = version.next_position + len(encoded)
    tokens, call, call_tokens = _count_tokens(tail, encoded)
    said = [at for item in encoded if (at := item.extracted.said_at) is not None]
    parameters: dict[str, Any] = {
        **in_transcript(transcript),
        "known_position": version.next_position,
        "next_position": next_position,
        "added_entries": len(encoded),
        "added_subagents": int(tail is None and not transcript.is_main),
        "added_bytes": sum(item.size for item in encoded),
        "added_tokens": tokens,
        "first_said": min(said, default=None),
        "last_said": max(said, default=None),
    }
    data = version.data
    if transcript.is_main:
        if data is not None or tail is None:
            data = fold(data, transcript, [item.entry for item in encoded])
        parameters["summary"] = (
            None if data is None else seal_summary(cipher, transcript.session, encode_summary(data))
        )
    if guarded:
        assert tail is not None  # noqa: S101 - a known version has the transcript's end
        parameters["newest_position"] = tail.position
    tails = {**version.tails, transcript.subpath: Tail(next_position - 1, call, call_tokens)}
    if fence is not None:
        parameters |= fence.parameters
    kind = PlanKind(transcript.is_main, guarded, fence.condition if fence else None)
    stored = seal_entries(cipher, transcript, version.next_position, encoded)
    return Plan(transcript, stored, parameters, kind, tail is None, Version(next_position, data, tails))


def _count_tokens(
    tail: Tail | None, encoded: Sequence[EncodedEntry]
) -> tuple[int, tuple[str | None, str | None] | None, int]:
    """Return the tokens that a batch adds to its session, its last API call, and that call's tokens.

    A call spans several lines, and the figures grow from line to line. So each line adds only what exceeds
    the lines before it.
    """
    call = None if tail is None else tail.call
    seen = {} if tail is None else {tail.call: tail.call_tokens}
    added = 0
    for item in encoded:
        tokens = item.extracted.tokens
        if tokens is None:
            continue
        if item.extracted.message_id is None:
            added += tokens
            continue
        call = (item.extracted.message_id, item.extracted.request_id)
        before = seen.get(call, 0)
        added += max(0, tokens - before)
        seen[call] = max(tokens, before)
    return added, call, seen.get(call, 0)


def run_plan(connection: StoreConnection, plan: Plan) -> bool:
    """Run a plan. Return True if it landed; otherwise it wrote nothing.

    The plan runs as one statement, which is atomic by itself, or as steps in the caller's transaction.
    SQLAlchemy's errors pass through: a known idempotency key raises an IntegrityError.
    """
    if runs_in_one(connection, plan):
        parameters = in_one_parameters(connection, plan)
        return connection.run(append_in_one(plan.kind), parameters).first() is not None
    step = advance(plan.kind)
    if connection.dialect == "postgresql":
        step = advance_alone(plan.kind)
        if (condition := plan.kind.condition) is not None:
            allowed = connection.select(select_allowed(condition), plan.parameters)
            if allowed.first() is None:
                return False
    advanced = connection.run(step, plan.parameters).first()
    if advanced is None:
        return False
    at: Any = advanced[0]
    if connection.dialect == "sqlite":
        connection.write_rows(insert_rows, stored_rows(plan, at, bytes.decode))
    elif len(plan.encoded) > MAX_ENTRIES_AS_VALUES:
        ids = select_new_ids(connection.connection.dialect, connection.effective_schema)
        drawn = connection.select(ids, {"many": len(plan.encoded)}).scalar_one()
        parameters = {**in_one_parameters(connection, plan), "ids": drawn}
        connection.run(insert_many_entries(main=plan.kind.main), parameters)
    else:
        insertion = insert_few_entries(len(plan.encoded), main=plan.kind.main)
        with connection.sending_large() if not fits_in_one(plan) else nullcontext():
            connection.run(insertion, _few_parameters(plan, at))
    return True


def run_insertion(connection: StoreConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert copied entries. With RETURNING, SQLAlchemy sends PostgreSQL many rows as one VALUES."""
    if connection.dialect == "postgresql":
        connection.select(insert_entries().returning(ENTRIES.c.position), rows)
    else:
        connection.write(insert_entries(), rows)


def runs_in_one(connection: StoreConnection, plan: Plan) -> bool:
    """True if a plan runs as one statement."""
    if connection.dialect != "postgresql" or not fits_in_one(plan):
        return False
    return not is_distributed(connection.connection)


def fits_in_one(plan: Plan) -> bool:
    """True if a plan is small enough for one statement."""
    return bool(plan.parameters["added_bytes"] <= MAX_BYTES_IN_ONE)


def in_one_parameters(connection: StoreConnection, plan: Plan) -> dict[str, Any]:
    """Return the parameters of `append_in_one`."""
    entries = connection.utf8(encode_rows(plan.encoded))
    return {**plan.parameters, "opens": plan.opens, "entries": entries}


def _few_parameters(plan: Plan, at: int | None) -> dict[str, Any]:
    """Return the parameters of `insert_few_entries`. `at` is in Unix epoch microseconds."""
    time = None if at is None else str(_EPOCH + timedelta(microseconds=at))
    parameters = {**plan.parameters, "opens": plan.opens, "at": time}
    for place, item in enumerate(plan.encoded):
        # Not `connection.utf8`, which declares its parameters as TEXT: Citus passes those on as parameters.
        parameters |= zip(_columns(place), item.row(bytes.decode), strict=True)
    return parameters


@cache
def _columns(place: int) -> list[str]:
    return [f"{name}_{place}" for name in COLUMNS]


def stored_rows(plan: Plan, at: object, text: Callable[[bytes], object]) -> list[tuple[Any, ...]]:
    """Return the rows that a plan inserts: for each entry the values of `statements.columns.INSERTED`.

    `at` is their storage time. `text` turns UTF-8 bytes into a driver parameter.
    """
    first = plan.parameters["known_position"]
    return [
        (
            *plan.transcript,
            first + offset,
            at,
            True if plan.opens and offset == 0 else None,
            *item.row(text),
        )
        for offset, item in enumerate(plan.encoded)
    ]


def entry_parameters(item: EncodedEntry) -> dict[str, Any]:
    """Return the parameters of `insert_entries` that hold one entry."""
    return {
        "new_entry": item.json.decode(),
        "new_verbatim": None if item.verbatim is None else item.verbatim.decode(),
        **row_parameters(item),
    }


def row_parameters(item: EncodedEntry) -> dict[str, Any]:
    """Return the parameters of `place_entry` that hold one entry's columns, without the entry itself."""
    extracted = zip(_EXTRACTED, item.extracted, strict=True)
    return {"new_dedup_key": item.dedup_key, "new_size": item.size, **dict(extracted)}


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, like times that are sent as text
_EXTRACTED = [f"new_{name}" for name in Extracted._fields]
