"""Adding the lines of a transcript file to the transcript that is stored: only those that it lacks.

A line with a uuid is stored when the transcript has that uuid; what is stored then stays as it is. Where
one file holds a uuid twice, its last body counts, as for the SDK's own reader.

A line without a uuid is known by its content, and by which one of the equal lines in its file it is: the
k-th is stored when the transcript holds k equal entries or more, whoever stored them. So the same file adds
nothing twice, and a transcript that a live mirror stored (under keys made of its calls) lacks only what the
mirror missed. What is added gets a key made of the content and of k, so that the unique index decides
between two imports.

Nothing of this needs a memory of earlier imports: one that was stopped is simply run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from boocode_sessions._core import operations
from boocode_sessions._core.codec import (
    EncodedEntry,
    Line,
    decode,
    facts_of,
    fingerprint,
    fingerprint_in,
    line_key,
    uuid_key,
)
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.operations import PAGE_ROWS, Tables
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.statements import maintenance as bulk
from boocode_sessions._core.statements.contract import in_session, in_transcript
from boocode_sessions._core.unit_of_work import Transactions
from boocode_sessions.errors import DamagedEntryError


class NumberedLine(NamedTuple):
    """A line, and where it stands in its file."""

    number: int
    """Counted from 1; 0 for a metadata file."""
    line: Line
    key: str
    content: str | None
    """What it is known by when it has no uuid."""
    occurrence: int
    """Which one of the lines with this uuid, or with this content, it is in its file, counted from 1."""

    @property
    def encoded(self) -> EncodedEntry:
        return EncodedEntry(self.key, self.line.text, self.line.verbatim, facts_of(self.line.entry))

    @property
    def repeats_uuid(self) -> bool:
        return self.content is None and self.occurrence > 1


class Intake:
    """One transcript that the lines of one file are added to, in order, some at a time.

    Holds some 200 bytes for each line that went by: which uuids and contents the file had before.
    """

    def __init__(self, transactions: Transactions, transcript: Transcript) -> None:
        self._transactions = transactions
        self._transcript = transcript
        self._doing = f"import {transcript}"
        self._seen: Counter[str] = Counter()
        self._only_ours = True
        """Whether all that is stored came from here, so that nothing of it needs to be looked up."""
        self._newest = 0
        """The newest id that was looked at."""
        self._contents: Counter[str] = Counter()
        """How many entries of each content without a uuid are stored, once others have written."""

    def number(self, number: int, line: Line) -> NumberedLine:
        """The next line of the file."""
        key = uuid_key(line.entry)
        content = fingerprint(line.entry) if key is None else None
        mark = key or content or ""
        self._seen[mark] = occurrence = self._seen[mark] + 1
        return NumberedLine(number, line, key or line_key(mark, occurrence), content, occurrence)

    def add(self, lines: Sequence[NumberedLine], *, quickly: bool = True) -> int:
        """Add what the transcript lacks of the file's next lines, in one transaction. Returns how many.

        `quickly`: with COPY where there is one, which fails for all when one is refused or came in between.
        Raises SessionStoreError.
        """
        look_first = self._newest == 0 or not self._only_ours
        if look_first and not self._transactions.scan(
            self._doing, lambda tables: self._lacks_some(tables, lines)
        ):
            return 0
        added, newest = self._transactions.write(
            self._doing, lambda tables: self._add(tables, lines, quickly)
        )
        if self._only_ours:
            self._newest = newest
        return added

    def _lacks_some(self, tables: Tables, lines: Sequence[NumberedLine]) -> bool:
        return self._look(tables) or bool(self._lacking(tables, lines))

    def _add(self, tables: Tables, lines: Sequence[NumberedLine], quickly: bool) -> tuple[int, int]:
        transcript = self._transcript
        tables.select(statements.take_turn(tables.dialect), in_session(transcript.session)).one()
        if self._look(tables):
            operations.append(tables, transcript, [], [])  # claims the rows of other writers
            self._look(tables)
        lacking = self._lacking(tables, lines)
        copying = quickly and can_copy(tables) and not any(line.repeats_uuid for line in lacking)
        inserted = 0

        def insert(tables: Tables, transcript: Transcript, batch: Sequence[EncodedEntry]) -> int:
            nonlocal inserted
            inserted = (copy if copying else operations.insert_new)(tables, transcript, batch)
            return inserted

        if lacking:
            encoded = [line.encoded for line in lacking]
            operations.append(tables, transcript, [line.line.entry for line in lacking], encoded, insert)
        newest, _, _ = tables.select(statements.select_position(), in_transcript(transcript)).one()
        return inserted, newest or 0

    def _look(self, tables: Tables) -> bool:
        """Note what others have stored since. Returns whether some of it needs to be claimed first."""
        newest, _, unclaimed = tables.select(
            statements.select_position(), in_transcript(self._transcript)
        ).one()
        if unclaimed:  # their ids may be older than what was looked at: count anew when they are claimed
            self._only_ours, self._newest = False, 0
            self._contents.clear()
        elif (newest or 0) != self._newest:
            if self._only_ours:
                self._only_ours, self._newest = False, 0
            after = {**in_transcript(self._transcript), "after": self._newest}
            rows = tables.select(bulk.select_without_uuid(), after)
            self._contents.update(content for key, text in rows if (content := _content(key, text)))
            self._newest = newest or 0
        return bool(unclaimed)

    def _lacking(self, tables: Tables, lines: Sequence[NumberedLine]) -> list[NumberedLine]:
        if self._only_ours:
            return list(lines)
        keys = [line.key for line in lines if line.content is None]
        known: set[str | None] = set()
        for start in range(0, len(keys), PAGE_ROWS):
            part = {**in_transcript(self._transcript), "keys": keys[start : start + PAGE_ROWS]}
            known.update(tables.select(bulk.select_keys(), part).scalars())
        return [line for line in lines if self._lacks(line, known)]

    def _lacks(self, line: NumberedLine, known: set[str | None]) -> bool:
        if line.content is None:
            return line.key not in known or line.repeats_uuid
        return line.occurrence > self._contents[line.content]


def can_copy(tables: Tables) -> bool:
    """Whether the database and its driver have PostgreSQL's COPY as psycopg offers it."""
    dialect = tables.connection.dialect
    return dialect.driver == "psycopg" and not dialect.is_async


def copy(tables: Tables, transcript: Transcript, batch: Sequence[EncodedEntry]) -> int:
    """Insert entries whose idempotency keys are all new. Returns how many.

    `created_at` is given: for a default that calls the clock PostgreSQL would insert row by row.
    """
    connection = tables.connection
    dialect = connection.dialect
    now = tables.select(bulk.select_clock()).scalar_one()
    translated = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    statement = bulk.copy_entries(dialect, tables.schema or translated)
    driver: Any = connection.connection.driver_connection
    errors: type[Exception] = dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as rows:
            for item in batch:
                rows.write_row((*transcript, *item, now))
    except errors as error:
        raise DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=dialect
        ) from error
    return len(batch)


def _content(key: str | None, text: str | None) -> str | None:
    """A stored entry's content; None for one with a uuid that stands under another key."""
    if text is None:
        return fingerprint_in(key or "")
    try:
        entry = decode(text)
    except DamagedEntryError:
        return None  # another program's; no line of a file is equal to it
    return None if uuid_key(entry) is not None else fingerprint(entry)
