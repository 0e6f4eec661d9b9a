"""Adds the lines of a transcript file that the stored transcript lacks.

A line with a uuid counts as stored if the transcript has that uuid. A file may repeat a uuid, with the same
content or other content. Each such line is kept in its place, because readers of a transcript choose one of
them. A line that repeats a uuid, or has none, is recognized by its content and by k: it is the k-th line with
this content in its file.

The k-th line without a uuid counts as stored if the transcript holds at least k equal entries, whoever stored
them. So the same file adds nothing twice, and a transcript that a live mirror stored (under keys made from
its calls) gets only what the mirror missed. An added line gets a key made from its content and k, so that the
unique index settles a race between two imports.

None of this needs a record of earlier imports: an import that was stopped is simply run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from boocode_sessions._core.append.place import Summary, lock, recount
from boocode_sessions._core.append.plan import PAGE_ROWS, Plan, Version, make_plans, run_plan, stored_rows
from boocode_sessions._core.attributes import string_at
from boocode_sessions._core.codec import (
    EncodedEntry,
    Line,
    StoredAt,
    content_keys_of,
    decode,
    fingerprint,
    fingerprint_in,
    line_key,
    open_entry,
    uuid_key,
)
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.statements import append, maintenance, place
from boocode_sessions._core.statements.columns import INSERTED
from boocode_sessions._core.statements.parameters import in_parts, in_transcript
from boocode_sessions._core.unit_of_work import UnitOfWork
from boocode_sessions.errors import DamagedEntryError, DatabaseError


class NumberedLine(NamedTuple):
    """A line, and where it stands in its file."""

    number: int
    """The line's number, from 1; 0 for a metadata file."""
    line: Line
    keys: Sequence[bytes]
    """The idempotency keys that the line may be stored under. A new line gets the first."""
    content: bytes | None
    """The fingerprint of the content, for a line without a uuid."""
    occurrence: int
    """The k of the module's rules, from 1."""
    repeats: bool
    """True if the line's API call has earlier lines, before those of another call: it was written again."""

    @property
    def encoded(self) -> EncodedEntry:
        return EncodedEntry.of_line(self.keys[0], self.line)


class Intake:
    """Adds the lines of one file to one transcript, in order, some at a time.

    It remembers the uuids and contents that the file has had: about 200 bytes per line.
    """

    def __init__(self, unit_of_work: UnitOfWork, transcript: Transcript, *, copies: bool) -> None:
        """`copies` is the answer of `can_copy`."""
        self._unit_of_work = unit_of_work
        self._copies = copies
        self._transcript = transcript
        self._operation = f"import {transcript}"
        self._uuids: set[bytes] = set()
        self._seen: Counter[bytes] = Counter()
        self._calls: set[int] = set()
        self._call: int | None = None
        self._only_ours = True
        """True while all entries of the transcript came through here, so that no lookup is needed."""
        self._newest: int | None = None
        """The newest position that was looked at."""
        self._stored: Counter[bytes] = Counter()
        """How many entries without a uuid are stored with each content."""

    def number(self, number: int, line: Line) -> NumberedLine:
        """Return the next line of the file with its number and idempotency keys."""
        key = uuid_key(line.entry)
        repeats = self._repeats_call(line.entry)
        if key is not None and key not in self._uuids:
            self._uuids.add(key)
            return NumberedLine(number, line, (key,), None, 1, repeats)
        content = fingerprint(line.entry)
        self._seen[content] = occurrence = self._seen[content] + 1
        contents = content_keys_of(self._unit_of_work.cipher, self._transcript.session, content)
        keys = [line_key(of_content, occurrence) for of_content in contents]
        return NumberedLine(number, line, keys, content if key is None else None, occurrence, repeats)

    def _repeats_call(self, entry: Mapping[str, Any]) -> bool:
        if entry.get("type") != "assistant" or (message_id := string_at(entry, "message", "id")) is None:
            return False
        call = hash((message_id, string_at(entry, "requestId")))
        if call == self._call:
            return False
        self._call = call
        known = call in self._calls
        self._calls.add(call)
        return known

    def add(self, lines: Sequence[NumberedLine], *, use_copy: bool = True) -> int:
        """Add those of the file's next lines that the transcript lacks, in one transaction. Returns how many.

        `use_copy` uses COPY if the database has it. COPY fails for all lines if one is refused.
        Raises SessionStoreError.
        """
        look_first = self._newest is None or not self._only_ours
        if look_first and not self._unit_of_work.scan(
            self._operation, lambda connection: self._lacks_some(connection, lines)
        ):
            return 0
        added, newest = self._unit_of_work.write(
            self._operation, lambda connection: self._add(connection, lines, use_copy)
        )
        if self._only_ours:
            self._newest = newest
        return added

    def _lacks_some(self, connection: StoreConnection, lines: Sequence[NumberedLine]) -> bool:
        where = in_transcript(self._transcript)
        newest, _, others = connection.select(place.select_newest_positions(), where).one()
        if others:
            return True  # they have to be placed first
        self._note_stored(connection, newest)
        return bool(self._lacking(connection, lines))

    def _add(
        self, connection: StoreConnection, lines: Sequence[NumberedLine], use_copy: bool
    ) -> tuple[int, int | None]:
        version = lock(connection, self._transcript)
        self._note_stored(connection, self._position(version))
        lacking = self._lacking(connection, lines)
        run = run_with_copy if use_copy and self._copies else run_plan
        encoded = [line.encoded for line in lacking]
        for plan in make_plans(self._transcript, encoded, version, guarded=False, cipher=connection.cipher):
            run(connection, plan)
            version = plan.then
        if any(line.repeats for line in lacking):
            # An append counts a call once only if its lines come one after the other.
            recount(connection, self._transcript.session, version.next_position, Summary.KEEP)
        return len(lacking), self._position(version)

    def _position(self, version: Version) -> int | None:
        tail = version.tails.get(self._transcript.subpath)
        return None if tail is None else tail.position

    def _note_stored(self, connection: StoreConnection, newest: int | None) -> None:
        """Note what others have stored since the last look, up to the position `newest`."""
        if newest == self._newest:
            return
        if self._only_ours:
            self._only_ours, self._newest = False, None
        after = {**in_transcript(self._transcript), "after": self._newest or 0}
        cipher = connection.cipher
        statement = maintenance.select_without_uuid(encrypted=cipher is not None)
        for key, text, position in connection.select(statement, after):
            at = StoredAt(self._transcript, position, key or b"")
            exact = text if cipher is None or text is None else open_entry(cipher, at, text)
            if (content := _content(key, exact)) is not None:
                self._stored[content] += 1
        self._newest = newest

    def _lacking(self, connection: StoreConnection, lines: Sequence[NumberedLine]) -> list[NumberedLine]:
        if self._only_ours:
            return list(lines)
        keys = [key for line in lines if line.content is None for key in line.keys]
        known: set[bytes | None] = set()
        for some in in_parts(keys, PAGE_ROWS):
            page = {**in_transcript(self._transcript), "keys": some}
            known.update(connection.select(place.select_keys(), page).scalars())
        return [line for line in lines if self._lacks(line, known)]

    def _lacks(self, line: NumberedLine, known: set[bytes | None]) -> bool:
        if line.content is None:
            return known.isdisjoint(line.keys)
        return line.occurrence > self._stored[line.content]


def can_copy(connection: StoreConnection) -> bool:
    """True if lines can go in through PostgreSQL's COPY: with psycopg, and no row security for this user.

    PostgreSQL refuses COPY where row security applies. On a distributed database COPY commits in two phases,
    and a refused line gives another error code.
    """
    dialect = connection.connection.dialect
    if dialect.driver != "psycopg" or dialect.is_async:
        return False
    if is_distributed(connection.connection):
        return False
    policies = maintenance.select_row_security(dialect, connection.effective_schema)
    return not connection.select(policies).scalar_one()


def concerns_a_line(error: DatabaseError) -> bool:
    """True if the database refused a value: a data exception, a violated constraint or a program limit."""
    if error.sqlstate is None:
        return type(error) is DatabaseError
    return error.sqlstate.startswith(("22", "23", "54"))


def run_with_copy(connection: StoreConnection, plan: Plan) -> None:
    """Run a plan for a locked session, and insert its rows with COPY."""
    at = connection.select(append.advance(plan.kind), plan.parameters).scalar_one()
    core = connection.connection
    dialect = core.dialect
    statement = maintenance.copy_entries(dialect, connection.effective_schema)
    driver: Any = core.connection.driver_connection
    errors: type[Exception] = dialect.loaded_dbapi.Error
    rows = stored_rows(plan, at, connection.utf8)  # registers a type, which only later cursors know
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(_copied(row))
    except errors as error:
        raise DBAPIError.instance(
            statement, None, error, errors, hide_parameters=True, dialect=dialect
        ) from error


_KEY, _SAID_AT = map(INSERTED.index, ("dedup_key", "said_at"))


def _copied(row: tuple[Any, ...]) -> list[Any]:
    """Return a row in the form that COPY reads alike under any setting of the server.

    COPY would read a time without a zone in the connection's zone. Where standard_conforming_strings is off,
    psycopg would write bytes with two backslashes, and COPY would store other bytes.
    """
    values = list(row)
    values[_KEY] = f"\\x{row[_KEY].hex()}"
    if row[_SAID_AT] is not None:
        values[_SAID_AT] = f"{row[_SAID_AT]}+00"
    return values


def _content(key: bytes | None, text: str | bytes | None) -> bytes | None:
    """Return a stored entry's content, or None if it has a uuid, by which it is recognized instead."""
    if text is None:
        return fingerprint_in(key or b"")
    try:
        entry = decode(text)
    except DamagedEntryError:
        return None  # another program wrote it; no line of a file equals it
    return None if uuid_key(entry) is not None else fingerprint(entry)
