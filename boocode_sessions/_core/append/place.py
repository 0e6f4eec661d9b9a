"""The steps before the plan when a session is unknown, or another program has written to it.

They lock and read the session, place other programs' rows, and drop entries that the transcript already has.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from boocode_sessions._core import fold as folding
from boocode_sessions._core import observing
from boocode_sessions._core.append.key_check import check_key
from boocode_sessions._core.append.plan import PAGE_ROWS, Tail, Version, row_parameters
from boocode_sessions._core.codec import (
    EncodedEntry,
    StoredAt,
    content_keys_of,
    content_of,
    decode,
    decode_summary,
    encode_stored,
    encode_summary,
    line_key,
    open_entry,
    row_key,
    same_entry,
    seal_summary,
)
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import MAIN, Session, Transcript
from boocode_sessions._core.statements import place as statements
from boocode_sessions._core.statements.parameters import in_parts, in_session, in_transcript
from boocode_sessions._core.statements.read import select_page
from boocode_sessions.errors import DamagedEntryError
from boocode_sessions.models import UNPLACED


def lock(connection: StoreConnection, transcript: Transcript) -> Version:
    """Lock a session until the commit, place other programs' rows, and return the session's state."""
    session = in_session(transcript.session)
    next_position, main_position, summary = lock_row(connection, transcript.session)
    newest, newest_main, others = _newest_positions(connection, transcript)
    if others or main_position != newest_main:  # other programs have inserted, or deleted
        if others:
            placed = place_rows(connection, transcript.session, next_position, summary=Summary.FOLD)
            next_position = placed.next_position
            newest, newest_main, _ = _newest_positions(connection, transcript)
        else:
            recount(connection, transcript.session, next_position, Summary.FOLD)
        summary = connection.select(statements.select_summary(), session).scalar_one()
    data: Mapping[str, Any] | None = None
    if newest_main is not None:
        data = decode_summary(connection.cipher, transcript.session, summary)
    if data is None and (newest_main is not None or newest is not None):
        check_key(connection, transcript)
        data = fold_all(connection, transcript) if transcript.is_main else None
    tails = {} if newest is None else {transcript.subpath: _tail(connection, transcript, newest)}
    return Version(next_position, data, tails)


def lock_row(connection: StoreConnection, session: Session) -> tuple[int, int | None, str | None]:
    """Lock a session until the commit, and create its row if there is none.

    Returns its next position, the position of its newest main entry, and its summary as text.
    """
    parameters: dict[str, Any] = {**in_session(session)}
    if connection.dialect == "sqlite":
        parameters["now"] = time.time_ns() // 1000
    statement = statements.lock_session(connection.dialect)
    row = (
        connection.select(statement, parameters).one()
        if connection.dialect == "sqlite"  # nothing to wait for: the transaction already locked the database
        else observing.lock(connection.dialect, lambda: connection.select(statement, parameters).one())
    )
    return row[0], row[1], row[2]


def _newest_positions(
    connection: StoreConnection, transcript: Transcript
) -> tuple[int | None, int | None, bool]:
    newest, newest_main, others = connection.select(
        statements.select_newest_positions(), in_transcript(transcript)
    ).one()
    return newest, newest_main, bool(others)


def _tail(connection: StoreConnection, transcript: Transcript, newest: int) -> Tail:
    call = connection.select(statements.select_last_call(), in_transcript(transcript)).first()
    if call is None:
        return Tail(newest, None, 0)
    message_id, request_id, tokens = call
    return Tail(newest, (message_id, request_id), tokens)


def drop_known(
    connection: StoreConnection, transcript: Transcript, encoded: Sequence[EncodedEntry]
) -> list[EncodedEntry]:
    """Return the entries of a batch that the locked transcript lacks, in order and without duplicates.

    An entry that has a known uuid but different content is kept under a key made from its content, so that
    nothing is lost.
    """
    texts = _known_texts(connection, transcript, [item.dedup_key for item in encoded])
    new: list[EncodedEntry] = []
    of_contents: dict[bytes, Sequence[bytes]] = {}
    """For each key that is about to be stored, all keys that stand for the same content."""
    for item in encoded:
        if (there := texts.get(item.dedup_key)) is None:
            texts[item.dedup_key] = item.exact
            new.append(item)
        elif not same_entry(there, item):
            contents = content_keys_of(connection.cipher, transcript.session, content_of(item))
            keys = [line_key(content, 1) for content in contents]
            of_content = item._replace(dedup_key=keys[0])
            new.append(of_content)
            of_contents[keys[0]] = keys
    if not of_contents:
        return new
    every = [key for keys in of_contents.values() for key in keys]
    seen = set(_known_texts(connection, transcript, every))
    kept: list[EncodedEntry] = []
    for item in new:
        if item.dedup_key in of_contents:
            if not seen.isdisjoint(of_contents[item.dedup_key]):
                continue
            seen.add(item.dedup_key)
        kept.append(item)
    return kept


def _known_texts(
    connection: StoreConnection, transcript: Transcript, keys: Sequence[bytes]
) -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = {}
    for some in in_parts(keys, PAGE_ROWS):
        page = {**in_transcript(transcript), "keys": some}
        rows = connection.select(statements.select_known(), page)
        for key, text, position in rows:
            if key is not None:
                known[key] = open_entry(connection.cipher, StoredAt(transcript, position, key), text)
    return known


class Placed(NamedTuple):
    """The result of `place_rows`."""

    rows: int
    next_position: int


def place_rows(
    connection: StoreConnection,
    session: Session,
    next_position: int,
    most: int | None = None,
    *,
    summary: Summary,
) -> Placed:
    """Place the rows that other programs inserted, in the order of their ids: the first `most`, or all.

    Then recount the session. The caller holds the session's lock. `summary` says what to do with the summary
    if main entries are placed.
    """
    begun: dict[str, bool] = {}
    main_written_at: datetime | None = None
    rows = 0
    while rows != most:
        page = {**in_session(session), "most": PAGE_ROWS if most is None else min(PAGE_ROWS, most - rows)}
        found = connection.select(statements.select_unplaced(), page).all()
        if not found:
            break
        by_subpath: dict[str, list[tuple[int, EncodedEntry]]] = {}
        for row_id, subpath, stored, at in found:
            text = open_entry(
                connection.cipher, StoredAt(Transcript(*session, subpath), UNPLACED, b""), stored
            )
            by_subpath.setdefault(subpath, []).append((row_id, encode_stored(text.decode())))
            if subpath == MAIN:
                main_written_at = at if main_written_at is None else max(at, main_written_at)
        for subpath in by_subpath:
            if subpath not in begun:
                begun[subpath] = _newest_positions(connection, Transcript(*session, subpath))[0] is not None
        keyed = dict(_keyed(connection, session, by_subpath))
        placed: list[dict[str, Any]] = []
        for place, (row_id, subpath, _, _) in enumerate(found):
            placed.append(
                {
                    **row_parameters(keyed[row_id]),
                    "in_project": session.project_key,
                    "row_id": row_id,
                    "new_position": next_position + place,
                    "new_is_first": None if begun[subpath] else True,
                }
            )
            begun[subpath] = True
        connection.write(statements.place_entry(), placed)
        rows += len(found)
        next_position += len(found)
    if rows:
        kept = Summary.KEEP if main_written_at is None else summary
        recount(connection, session, next_position, kept, main_written_at)
    return Placed(rows, next_position)


def _keyed(
    connection: StoreConnection,
    session: Session,
    by_subpath: Mapping[str, Sequence[tuple[int, EncodedEntry]]],
) -> list[tuple[int, EncodedEntry]]:
    """Return rows with their idempotency keys: the uuid's key, unless another row of the transcript has it.

    A row that repeats a uuid gets a key made from its content, by which an append or an import recognizes it.
    """
    keyed: list[tuple[int, EncodedEntry]] = []
    for subpath, rows in by_subpath.items():
        transcript = Transcript(*session, subpath)
        taken = _taken(connection, transcript, [item.dedup_key for _, item in rows if item.dedup_key])
        again: list[tuple[int, EncodedEntry, bytes]] = []
        for row_id, item in rows:
            if not item.dedup_key:
                keyed.append((row_id, item._replace(dedup_key=row_key(row_id))))
            elif item.dedup_key in taken:
                (content, *_) = content_keys_of(connection.cipher, session, content_of(item))
                again.append((row_id, item, content))
            else:
                taken.add(item.dedup_key)
                keyed.append((row_id, item))
        occurrences: Counter[bytes] = Counter()
        while again:
            for place, (row_id, item, content) in enumerate(again):
                occurrences[content] += 1
                key = line_key(content, occurrences[content])
                again[place] = row_id, item._replace(dedup_key=key), content
            taken = _taken(connection, transcript, [item.dedup_key for _, item, _ in again])
            keyed += [(row_id, item) for row_id, item, _ in again if item.dedup_key not in taken]
            again = [one for one in again if one[1].dedup_key in taken]
    return keyed


def _taken(connection: StoreConnection, transcript: Transcript, keys: Sequence[bytes]) -> set[bytes | None]:
    """Return those of the keys that entries of the transcript have."""
    if not keys:
        return set()
    return set(
        connection.select(statements.select_keys(), {**in_transcript(transcript), "keys": keys}).scalars()
    )


class Summary(Enum):
    """What `recount` does with a session's summary."""

    KEEP = "keep"
    DROP = "drop"
    """Remove it; `backfill` folds it again once all rows are placed."""
    FOLD = "fold"


def recount(
    connection: StoreConnection,
    session: Session,
    next_position: int,
    summary: Summary,
    written_at: datetime | None = None,
) -> None:
    """Recount a locked session's placed entries. `written_at` is the time of the newest main entry added."""
    counted = {**in_session(session), "next_position": next_position, "written_at": written_at}
    if summary is not Summary.KEEP:
        fresh = summary is Summary.FOLD
        data = fold_all(connection, Transcript(*session, MAIN)) if fresh else None
        counted["summary"] = (
            None if data is None else seal_summary(connection.cipher, session, encode_summary(data))
        )
    connection.write(statements.recount_session(keep_summary=summary is Summary.KEEP), counted)


def fold_all(connection: StoreConnection, main: Transcript) -> Mapping[str, Any] | None:
    """Fold a main transcript's summary from all its entries. Return None if the SDK is missing or fails."""
    if not folding.available():
        return None
    data: Mapping[str, Any] | None = None
    after = {"after_position": 0, "after_id": 0}
    while rows := connection.select(select_page(), {**in_transcript(main), **after, "most": PAGE_ROWS}).all():
        after = {"after_position": rows[-1][0], "after_id": rows[-1][1]}
        try:
            entries = [
                decode(open_entry(connection.cipher, StoredAt(main, position, key or b""), text))
                for position, _, text, key in rows
            ]
        except DamagedEntryError:
            return None  # The append goes on without a summary. A listing will read the entries, and raise.
        if (data := folding.fold(data, main, entries)) is None:
            return None
    return data
