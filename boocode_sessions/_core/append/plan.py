"""The one plan of every append: advance the session's counter, then insert entries with their positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
"""Most entries of one plan: what one statement carries, and a pass over a transcript holds at once."""
PAGE_BYTES = 4 << 20
"""Most bytes of entries of one plan, where it has more than one entry."""
MOST_IN_VALUES = 10
"""Entries that a distributed database takes more quickly as VALUES than as one JSON parameter."""
MOST_IN_ONE = 32 << 20
"""Bytes of an entry that may travel inside one JSON document with the rest of its plan. A document is refused
over 256 MB, and a large entry with a NUL travels twice."""


class Tail(NamedTuple):
    """The end of a transcript."""

    position: int
    """Of its newest entry."""
    call: tuple[str | None, str | None] | None
    """The last API call's message id and request id."""
    call_tokens: int
    """What that call had used so far."""


class Version(NamedTuple):
    """A state of a session: what a writer knows while `next_position` is the row's."""

    next_position: int
    data: Mapping[str, Any] | None
    """The folded summary; None before the first main entry, and where there is no fold."""
    tails: Mapping[str, Tail]
    """By subpath, of the transcripts that the writer knows."""


class Plan(NamedTuple):
    """One append, ready to run."""

    transcript: Transcript
    encoded: Sequence[EncodedEntry]
    """Encrypted, where the store is."""
    parameters: Mapping[str, Any]
    """Of `statements.append.advance`, and of the insertion."""
    kind: PlanKind
    opens: bool
    """Whether it begins its transcript."""
    then: Version
    """What the session is at when it has run."""


def pages(encoded: Sequence[EncodedEntry]) -> list[Sequence[EncodedEntry]]:
    """A batch in parts, each of which one plan can carry."""
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
    """The plans that append a batch to a session at `version`, each of them one page of it.

    `cipher`: encrypts what the plans store.
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
        assert tail is not None  # noqa: S101 - who knows a version knows the transcript's end
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
    """The tokens that a batch adds to its session, its last API call, and that call's tokens.

    A call spans several lines, whose figures grow: each line adds what it says more than the lines before.
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
    """Run a plan. Returns whether it was done; if not, nothing was written.

    As one statement, which is atomic by itself, or as its steps, for which the caller has a transaction.
    Raises what SQLAlchemy raises: for a known idempotency key an IntegrityError.
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
    elif len(plan.encoded) > MOST_IN_VALUES:
        ids = select_new_ids(connection.connection.dialect, connection.effective_schema)
        drawn = connection.select(ids, {"many": len(plan.encoded)}).scalar_one()
        parameters = {**in_one_parameters(connection, plan), "ids": drawn}
        connection.run(insert_many_entries(main=plan.kind.main), parameters)
    else:
        insertion = insert_few_entries(len(plan.encoded), main=plan.kind.main)
        connection.run(insertion, _few_parameters(plan, at))
    return True


def run_insertion(connection: StoreConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert copied entries: on PostgreSQL with RETURNING, for which SQLAlchemy makes one VALUES of them."""
    if connection.dialect == "postgresql":
        connection.select(insert_entries().returning(ENTRIES.c.position), rows)
    else:
        connection.write(insert_entries(), rows)


def runs_in_one(connection: StoreConnection, plan: Plan) -> bool:
    """Whether a plan runs as one statement."""
    if connection.dialect != "postgresql" or not fits_in_one(plan):
        return False
    return not is_distributed(connection.connection)


def fits_in_one(plan: Plan) -> bool:
    """Whether one statement can carry a plan."""
    return bool(plan.parameters["added_bytes"] <= MOST_IN_ONE)


def in_one_parameters(connection: StoreConnection, plan: Plan) -> dict[str, Any]:
    """The parameters of `append_in_one`."""
    entries = connection.utf8(encode_rows(plan.encoded))
    return {**plan.parameters, "opens": plan.opens, "entries": entries}


def _few_parameters(plan: Plan, at: int | None) -> dict[str, Any]:
    """The parameters of `insert_few_entries`. `at`: in Unix epoch microseconds."""
    time = None if at is None else str(_EPOCH + timedelta(microseconds=at))
    parameters = {**plan.parameters, "opens": plan.opens, "at": time}
    for place, item in enumerate(plan.encoded):
        # Not as `connection.utf8`: Citus passes a parameter on that says itself that it is of type TEXT.
        parameters |= zip(_columns(place), item.row(bytes.decode), strict=True)
    return parameters


@cache
def _columns(place: int) -> list[str]:
    return [f"{name}_{place}" for name in COLUMNS]


def stored_rows(plan: Plan, at: object, text: Callable[[bytes], object]) -> list[tuple[Any, ...]]:
    """The rows that a plan inserts: the values of `statements.columns.INSERTED`, as a driver takes them.

    `at`: their storage time. `text` makes a parameter of UTF-8.
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
    """What is stored of an entry, as parameters of `insert_entries`."""
    return {
        "new_entry": item.json.decode(),
        "new_verbatim": None if item.verbatim is None else item.verbatim.decode(),
        **row_parameters(item),
    }


def row_parameters(item: EncodedEntry) -> dict[str, Any]:
    """What is stored of an entry beside itself, as parameters of `place_entry`."""
    extracted = zip(_EXTRACTED, item.extracted, strict=True)
    return {"new_dedup_key": item.dedup_key, "new_size": item.size, **dict(extracted)}


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, as the text of a time is
_EXTRACTED = [f"new_{name}" for name in Extracted._fields]
