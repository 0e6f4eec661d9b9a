"""Copies the table of the Python SDK's reference adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from boocode_sessions._core import fold
from boocode_sessions._core.append.key_check import check_key
from boocode_sessions._core.append.place import Summary, recount
from boocode_sessions._core.append.plan import PAGE_ROWS, entry_parameters, run_insertion
from boocode_sessions._core.arguments import check_at_least, checked
from boocode_sessions._core.codec import (
    Cipher,
    EncodedEntry,
    content_keys_of,
    content_of,
    copied_key,
    encode_stored,
    line_key,
    seal_entries,
)
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.sql.functions import json_text
from boocode_sessions._core.statements import place
from boocode_sessions._core.statements.parameters import (
    PROJECT,
    SESSION,
    SUBPATH,
    Entry,
    in_transcript,
    of_transcript,
    table_name,
)
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.adoption.transcripts import (
    OnProgress,
    Progress,
    after,
    each_transcript,
    fold_main,
    lock_at,
)
from boocode_sessions.errors import SchemaError

REFERENCE_TABLE = "claude_session_store"
"""The name that the Python SDK's reference adapter gives its table."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What `adopt` did."""

    copied: int
    """Entries that are new here."""
    known: int
    """Entries that an earlier run had copied."""
    left: list[Transcript]
    """Transcripts that have gone on here: the source's further entries can't be put in order."""


@checked
def adopt(
    bind: Bind,
    *,
    source: str = REFERENCE_TABLE,
    source_schema: str | None = None,
    schema: str | None = None,
    encryption: Cipher | None = None,
    batch_rows: int = PAGE_ROWS,
    progress: OnProgress = lambda _: None,
) -> Adopted:
    """Copy the Python SDK's reference table, with its order and times, in the same PostgreSQL database.

    No row is copied twice: run it again for the last rows once the old store's writers have stopped.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        source: The table to copy. It is only read.
        source_schema: The table's schema, if the search path does not lead to it.
        schema: The schema of our tables, if the search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.
        batch_rows: Most rows that one transaction copies.
        progress: Called after each batch.

    Raises:
        SchemaError: There is no such table, or it has other columns.
        EncryptionError: A session that was copied before has another key.
    """
    check_at_least(1, batch_rows=batch_rows)
    unit_of_work = UnitOfWork(bind, schema, encryption)
    fold.available()  # import the SDK now, or the first fold keeps its session locked for a second
    rows = unit_of_work.scan(f"look at {source}", lambda it: _source(it, source, source_schema))
    count = select(func.count()).select_from(rows)
    total = unit_of_work.scan(f"count {source}", lambda connection: connection.select(count).scalar_one())
    copied = known = 0
    left: list[Transcript] = []
    for transcript in each_transcript(unit_of_work, _next_in_source(rows)):
        copy = _Copy(unit_of_work, rows, transcript, batch_rows)
        copied_before = copied
        while not copy.ended:
            batch = copy.next_batch()
            copied += batch.copied
            known += batch.known
            progress(Progress(copied + known, total))
        if copied > copied_before and transcript.is_main:
            unit_of_work.write(f"fold {transcript}", partial(fold_main, transcript), bounded=False)
        if copy.went_on:
            left.append(transcript)
    return Adopted(copied, known, left)


class _Batch(NamedTuple):
    copied: int
    known: int


class _Line(NamedTuple):
    encoded: EncodedEntry
    keys: Sequence[bytes]
    """The idempotency keys that the row may be stored under. A new row gets the first."""
    written_at: datetime


class _Copy:
    """Copies one transcript, batch by batch. What is here must be the beginning of the source's transcript.

    If it ends otherwise, the transcript has gone on here, and nothing can be put before that."""

    def __init__(
        self, unit_of_work: UnitOfWork, rows: Table, transcript: Transcript, batch_rows: int
    ) -> None:
        self.transcript = transcript
        self.ended = False
        self.went_on = False
        self._unit_of_work = unit_of_work
        self._rows = rows
        self._batch_rows = batch_rows
        self._after = 0
        self._seen: Counter[bytes] = Counter()
        self._before: Sequence[bytes] = ()  # the keys of the line before the next one

    def next_batch(self) -> _Batch:
        # Read and number the lines before the transaction that stores them, which may be run again.
        page = {**in_transcript(self.transcript), "after": self._after, "most": self._batch_rows}
        found = self._unit_of_work.scan(
            f"read {self.transcript}",
            lambda connection: connection.select(_select_source(self._rows), page).all(),
        )
        self.ended = len(found) < self._batch_rows
        if not found:
            return _Batch(0, 0)
        lines = [self._line(*row) for row in found]
        batch = self._unit_of_work.write(
            f"copy {self.transcript}", lambda connection: self._store(connection, lines), bounded=False
        )
        self._after, self._before = found[-1][0], lines[-1].keys
        if batch.copied + batch.known < len(lines):
            self.ended = self.went_on = True
        return batch

    def _store(self, connection: StoreConnection, lines: Sequence[_Line]) -> _Batch:
        where = in_transcript(self.transcript)
        next_position = lock_at(connection, self.transcript)
        keys = [key for line in lines for key in line.keys]
        stored = set(connection.select(place.select_keys(), {**where, "keys": keys}).scalars())
        known = next((n for n, line in enumerate(lines) if stored.isdisjoint(line.keys)), len(lines))
        new = lines[known:]
        if not new:
            return _Batch(0, known)
        newest = connection.select(_select_newest_key(), where).first()
        before = lines[known - 1].keys if known else self._before
        ends_there = newest[0] in before if newest else not before
        if not ends_there or not stored.isdisjoint(key for line in new for key in line.keys):
            return _Batch(0, known)
        check_key(connection, self.transcript)
        encoded = seal_entries(
            connection.cipher,
            self.transcript,
            next_position,
            [line.encoded._replace(dedup_key=line.keys[0]) for line in new],
        )
        rows = [
            {
                **where,
                **entry_parameters(item),
                "new_position": next_position + offset,
                "new_created_at": line.written_at,
                "new_is_first": True if not before and offset == 0 else None,
            }
            for offset, (item, line) in enumerate(zip(encoded, new, strict=True))
        ]
        run_insertion(connection, rows)
        main = self.transcript.is_main
        recount(
            connection,
            self.transcript.session,
            next_position + len(rows),
            Summary.DROP if main else Summary.KEEP,
            max(line.written_at for line in new) if main else None,
        )
        return _Batch(len(rows), known)

    def _line(self, seq: int, text: str, mtime: int) -> _Line:
        # A repeated uuid gets keys made from the content, as in an import.
        item = encode_stored(text)
        keys: Sequence[bytes] = (item.dedup_key or copied_key(seq),)
        if item.dedup_key in self._seen:
            content = content_of(item)
            self._seen[content] += 1
            contents = content_keys_of(self._unit_of_work.cipher, self.transcript.session, content)
            keys = [line_key(of_content, self._seen[content]) for of_content in contents]
        elif item.dedup_key:
            self._seen[item.dedup_key] = 1
        return _Line(item, keys, _EPOCH + timedelta(milliseconds=mtime))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOURCE_COLUMNS = {
    "project_key": Text,
    "session_id": Text,
    "subpath": Text,
    "seq": BigInteger,
    "entry": JSONB,
    "mtime": BigInteger,
}


def _source(connection: StoreConnection, name: str, schema: str | None) -> Table:
    if connection.dialect != "postgresql":
        raise SchemaError("only a table in a PostgreSQL database can be copied")
    found = connection.connection.execute(
        text(
            "SELECT nspname FROM pg_catalog.pg_class "
            "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE pg_class.oid = to_regclass(:name)"
        ),
        {"name": table_name(name, connection.connection.dialect, schema)},
    ).scalar_one_or_none()
    if found is None:
        raise SchemaError(f"there is no table {name}: name the old store's table, and its schema")
    types = {c["name"]: c["type"] for c in inspect(connection.connection).get_columns(name, schema=found)}
    for wanted, kind in _SOURCE_COLUMNS.items():
        if not isinstance(types.get(wanted), kind):
            raise SchemaError(
                f"the table {name} is not one of the Python SDK's reference adapter: its column {wanted} is "
                + str(types.get(wanted, "missing"))
            )
    columns: list[Column[Any]] = [Column(wanted, kind) for wanted, kind in _SOURCE_COLUMNS.items()]
    # With its own schema, so that the schema of our tables does not apply to it.
    return Table(name, MetaData(), *columns, schema=found)


def _next_in_source(rows: Table) -> Select[str, str, str]:
    order = (rows.c.project_key, rows.c.session_id, rows.c.subpath)
    return select(*order).where(after(*order)).order_by(*order).limit(1)


def _select_source(rows: Table) -> Select[int, str, int]:
    """Select `most` rows of a transcript after number `after`. Shape: (seq, JSON text, mtime) per row."""
    of_transcript = (rows.c.project_key == PROJECT, rows.c.session_id == SESSION, rows.c.subpath == SUBPATH)
    return (
        select(rows.c.seq, json_text(rows.c.entry), rows.c.mtime)
        .where(*of_transcript, rows.c.seq > bindparam("after", type_=BigInteger))
        .order_by(rows.c.seq)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def _select_newest_key() -> Select[bytes | None]:
    newest = (Entry.position.desc(), Entry.id.desc())
    return select(Entry.dedup_key).where(*of_transcript()).order_by(*newest).limit(1)
