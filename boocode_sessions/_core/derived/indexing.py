"""Adds the words of new entries to the search index, in short transactions beside live writers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Row

from boocode_sessions._core.codec import decode
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import (
    LOCK_SECONDS,
    OnProgress,
    catch_up_all,
    lock,
    no_progress,
)
from boocode_sessions._core.derived.missing import try_to_catch_up, try_to_write
from boocode_sessions._core.derived.records import micros
from boocode_sessions._core.derived.storing import Digest, merge
from boocode_sessions._core.derived.words import as_vector, message_of, plain_words_in, tools_of
from boocode_sessions._core.keys import Session, SessionStoreEntry
from boocode_sessions._core.statements import derived_reads
from boocode_sessions._core.statements import search as statements
from boocode_sessions._core.statements.derived import TEXTS, Within, lock_digest, set_searched
from boocode_sessions._core.statements.parameters import in_session
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.errors import SEALED, DamagedEntryError, EncryptionError, MissingKeyError
from boocode_sessions.models import UNPLACED

BATCH_CHARS = 4_000_000
"""About how many characters of entries one transaction takes."""
PAGE_ENTRIES = 200


class EntryWords(NamedTuple):
    """The words of an entry."""

    text_id: int
    """The id of a SessionText."""
    at: int
    words: Sequence[str]


def find_unsearched(connection: StoreConnection, named: Mapping[str, str]) -> Sequence[Row[str, int, str]]:
    """Return the rows of `select_unsearched`."""
    return connection.select(statements.select_unsearched(Within.named(named)), named).all()


def index_new(unit_of_work: UnitOfWork, named: Mapping[str, str], progress: OnProgress = no_progress) -> None:
    """Make search find everything. Raises SessionStoreError if nothing may be written."""
    most = 0
    find = partial(find_unsearched, named=named)
    while left := len(unit_of_work.read("look for entries to search", find)):
        most = max(most, left)
        progress(most - left, most)
        unit_of_work.write(
            "take the words of new entries", partial(_index_batch, named), lock_seconds=LOCK_SECONDS
        )


def words_of_entry(entry: Mapping[str, Any], row_id: int, at: int) -> Iterator[EntryWords]:
    """Yield the words of what an entry says, and of what its tools were given and returned."""
    for kind, text in enumerate((message_of(entry), tools_of(entry))):
        if words := plain_words_in(text):
            yield EntryWords(2 * row_id + kind, at, words)


def _index_batch(named: Mapping[str, str], connection: StoreConnection) -> None:
    """Take about BATCH_CHARS characters."""
    lock(connection)
    chars = 0
    for place, (project_key, digest_id, session_id) in enumerate(find_unsearched(connection, named)):
        digest = Digest(project_key, digest_id)
        locked = connection.select(lock_digest(wait=not place), digest.parameters).first()
        if locked is None:  # a deletion has come in between
            continue
        searched_to, counted_to = locked
        while searched_to < counted_to and chars < BATCH_CHARS:
            session = in_session(Session(project_key, session_id))
            page = {**session, "from_position": searched_to, "to_position": counted_to}
            rows = connection.select(statements.select_messages(), {**page, "most": PAGE_ENTRIES}).all()
            found: list[EntryWords] = []
            for _, row_id, *_, at, text in rows:
                chars += len(text)
                try:
                    found += words_of_entry(decode_searched(text), row_id, micros(at))
                except DamagedEntryError:
                    continue
            _store(connection, digest, found)
            whole = len(rows) < PAGE_ENTRIES
            searched_to = counted_to if whole else rows[-1][0] + 1
        done = {**digest.parameters, "searched_to": searched_to}
        connection.write(set_searched(), done)
        if chars >= BATCH_CHARS:
            break


def _store(connection: StoreConnection, digest: Digest, entries: Sequence[EntryWords]) -> None:
    if not entries:
        return
    if connection.dialect == "sqlite":
        words = [(item.text_id, " ".join(item.words)) for item in entries]
        texts = [
            (text_id, digest.id, item.at, digest.project_key, text)
            for item, (text_id, text) in zip(entries, words, strict=True)
        ]
        connection.write_rows(statements.insert_text_rows, texts)
        connection.write_rows(statements.insert_word_rows, words)
        return
    rows = [
        {
            "id": item.text_id,
            "digest_id": digest.id,
            "at": item.at,
            "project_key": digest.project_key,
            "words": as_vector(item.words),
        }
        for item in entries
    ]
    merge(connection, TEXTS, rows)


def is_encrypted(connection: StoreConnection) -> bool:
    """True if the newest entry is encrypted. Then the database can't search, and has no words to add."""
    return connection.select(statements.select_newest_mark()).scalar_one_or_none() == SEALED


_SEARCH_IS_OFF = "search is off: entries are encrypted, and the database can't read them"


def check_plain(connection: StoreConnection) -> None:
    """Raise EncryptionError if the store is encrypted."""
    if is_encrypted(connection):
        raise EncryptionError(_SEARCH_IS_OFF)


def decode_searched(text: str) -> SessionStoreEntry:
    """Decode an entry for search. Raises DamagedEntryError; EncryptionError if the entry is encrypted."""
    try:
        return decode(text)
    except MissingKeyError:
        pass  # Its text asks for a key, which search doesn't take.
    raise EncryptionError(_SEARCH_IS_OFF)


def fill_derived_tables(unit_of_work: UnitOfWork, progress: OnProgress = no_progress) -> None:
    """Take what is missing from all sessions: calls and tool uses, then words, unless the store is encrypted.

    Raises SessionStoreError if nothing may be written.
    """
    catch_up_all(unit_of_work, progress)
    with suppress(EncryptionError):
        unit_of_work.read("look whether entries can be searched", check_plain)
        index_new(unit_of_work, {}, progress)


def try_to_index(unit_of_work: UnitOfWork, named: Mapping[str, str]) -> bool:
    """Make search find everything. Return False if that was impossible."""
    return try_to_catch_up(unit_of_work, named) and try_to_write(lambda: index_new(unit_of_work, named))


def read_unsearched(
    connection: StoreConnection, named: Mapping[str, str], *, indexed: bool, readable: bool
) -> Iterator[Sequence[Any]]:
    """Yield the messages that search doesn't find: the unplaced ones, and unless `indexed` others too.

    `readable` says if the derived tables may be read.

    Shape: as that of `statements.search.select_matched`.
    """
    within = Within.named(named)
    yield from connection.select(statements.select_unplaced_messages(within), named)
    sessions: list[Sequence[Any]] = []
    if not readable:
        found = connection.select(derived_reads.select_placed_sessions(within), named)
        sessions = [(*session, 0, UNPLACED) for session in found]
    elif not indexed:
        sessions = list(connection.select(statements.select_unsearched_sessions(within), named))
    for project_key, session_id, searched_to, next_position in sessions:
        start = searched_to
        while start < next_position:
            page = {"from_position": start, "to_position": next_position, "most": PAGE_ENTRIES}
            session = in_session(Session(project_key, session_id))
            rows = connection.select(statements.select_messages(), {**session, **page}).all()
            yield from (row[1:] for row in rows)
            start = next_position if len(rows) < PAGE_ENTRIES else rows[-1][0] + 1
