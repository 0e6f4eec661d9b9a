"""Copying the table of the Python SDK's reference adapter."""

from __future__ import annotations

from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.dml import ReturningInsert

from boocode_sessions._core.codec import uuid_key
from boocode_sessions._core.keys import Transcript
from boocode_sessions._core.operations import PAGE_ROWS, Tables, later
from boocode_sessions._core.sql.functions import UTCDateTime
from boocode_sessions._core.statements.contract import PROJECT, SESSION, SUBPATH, in_transcript, of_transcript
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.adoption.backfilling import note_facts
from boocode_sessions.adoption.transcripts import (
    OnProgress,
    Progress,
    after,
    each_transcript,
    finish_turn,
    fold_main,
    take_turn,
)
from boocode_sessions.errors import SchemaError
from boocode_sessions.models import ClaudeSessionEntry as Entry

REFERENCE_TABLE = "claude_session_store"
"""What the Python SDK's reference adapter calls its table."""


class Adopted(NamedTuple):
    """What `adopt` did."""

    copied: int
    """Entries that are new here."""
    known: int
    """Entries that an earlier run had copied."""
    left: list[Transcript]
    """Transcripts that have gone on here since: what the source has more than they can't be put in order."""


def adopt(
    bind: Bind,
    *,
    source: str = REFERENCE_TABLE,
    source_schema: str | None = None,
    schema: str | None = None,
    batch_rows: int = PAGE_ROWS,
    progress: OnProgress = lambda _: None,
) -> Adopted:
    """Copy the table of the Python SDK's reference adapter, in the same database, with its order and times.

    A row is never copied twice, so that a second run, once the old store's writers have stopped, fetches the
    last ones. The source is only read. `progress` is called after each batch. PostgreSQL only.

    Raises SchemaError when there is no such table, or one of another shape.
    """
    transactions = Transactions(bind, schema)
    rows = transactions.read(f"look at {source}", lambda tables: _source(tables, source, source_schema))
    count = select(func.count()).select_from(rows)
    total = transactions.read(f"count {source}", lambda tables: tables.select(count).scalar_one())
    copied = known = 0
    left: list[Transcript] = []
    for transcript in each_transcript(transactions, _next_in_source(rows)):
        copy = _Copy(rows, transcript, batch_rows)
        copied_before = copied
        while not copy.ended:
            batch = transactions.write(f"copy {transcript}", copy.next_batch)
            copied += batch.copied
            known += batch.known
            progress(Progress(copied + known, total))
        if copied > copied_before and transcript.is_main:
            transactions.write(f"fold {transcript}", partial(fold_main, transcript))
        if copy.went_on:
            left.append(transcript)
    note_facts(transactions)
    return Adopted(copied, known, left)


class _Batch(NamedTuple):
    copied: int
    known: int


class _Copy:
    """The copy of one transcript, batch by batch.

    What is here of it is what earlier batches copied: the beginning of the source, in the same order. When it
    ends otherwise, the transcript has gone on here, and nothing can be put before that.
    """

    def __init__(self, rows: Table, transcript: Transcript, batch_rows: int) -> None:
        self.transcript = transcript
        self.ended = False
        self.went_on = False
        self._rows = rows
        self._batch_rows = batch_rows
        self._after = 0
        self._seen: set[str] = set()
        self._last_key: str | None = None

    def next_batch(self, tables: Tables) -> _Batch:
        where = in_transcript(self.transcript)
        updated_at = take_turn(tables, self.transcript)
        page = {**where, "after": self._after, "most": self._batch_rows}
        found = tables.select(_select_source(self._rows), page).all()
        self.ended = len(found) < self._batch_rows
        if not found:
            return _Batch(0, 0)
        keys = [self._key(seq, uuid) for seq, uuid in found]
        known = set(tables.select(_select_keys(), {**where, "keys": keys}).scalars())
        new = next((n for n, key in enumerate(keys) if key not in known), len(keys))
        before = keys[new - 1] if new else self._last_key
        self._after, self._last_key = found[-1][0], keys[-1]
        if new == len(keys):
            return _Batch(0, new)
        newest = tables.select(_select_newest_key(), where).first()
        if newest != (None if before is None else (before,)) or known.intersection(keys[new:]):
            self.ended = self.went_on = True
            return _Batch(0, new)
        copied = {**where, "seqs": [seq for seq, _ in found[new:]], "keys": keys[new:]}
        times = tables.select(_copy_rows(self._rows), copied).scalars().all()
        finish_turn(tables, self.transcript, later(updated_at, max(times)))
        return _Batch(len(times), new)

    def _key(self, seq: int, uuid: str | None) -> str:
        """The uuid's at its first occurrence; one made of the row's own number otherwise."""
        key = None if uuid is None else uuid_key({"uuid": uuid})
        if key is None or key in self._seen:
            return f"~store.{seq}"
        self._seen.add(key)
        return key


_SOURCE_COLUMNS = {
    "project_key": Text,
    "session_id": Text,
    "subpath": Text,
    "seq": BigInteger,
    "entry": JSONB,
    "mtime": BigInteger,
}


def _source(tables: Tables, name: str, schema: str | None) -> Table:
    if tables.dialect != "postgresql":
        raise SchemaError("only a table in a PostgreSQL database can be copied")
    found = tables.connection.execute(
        text(
            "SELECT nspname FROM pg_catalog.pg_class "
            "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE pg_class.oid = to_regclass(:name)"
        ),
        {"name": f"{_quoted(schema)}.{_quoted(name)}" if schema else _quoted(name)},
    ).scalar_one_or_none()
    if found is None:
        raise SchemaError(f"there is no table {name}: name the old store's table, and its schema")
    types = {c["name"]: c["type"] for c in inspect(tables.connection).get_columns(name, schema=found)}
    for wanted, kind in _SOURCE_COLUMNS.items():
        if not isinstance(types.get(wanted), kind):
            raise SchemaError(
                f"the table {name} is not one of the Python SDK's reference adapter: its column {wanted} is "
                + str(types.get(wanted, "missing"))
            )
    columns: list[Column[Any]] = [Column(wanted, kind) for wanted, kind in _SOURCE_COLUMNS.items()]
    # With its schema: the one that our tables are in must not apply to it.
    return Table(name, MetaData(), *columns, schema=found)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _next_in_source(rows: Table) -> Select[str, str, str]:
    order = (rows.c.project_key, rows.c.session_id, rows.c.subpath)
    return select(*order).where(after(*order)).order_by(*order).limit(1)


def _of_source(rows: Table) -> tuple[ColumnElement[bool], ...]:
    return rows.c.project_key == PROJECT, rows.c.session_id == SESSION, rows.c.subpath == SUBPATH


def _select_source(rows: Table) -> Select[int, str | None]:
    """The `most` rows of one transcript after number `after`. Shape: (seq, uuid or None) per row."""
    uuid = case((func.jsonb_typeof(rows.c.entry["uuid"]) == "string", rows.c.entry["uuid"].astext))
    return (
        select(rows.c.seq, uuid)
        .where(*_of_source(rows), rows.c.seq > bindparam("after", type_=BigInteger))
        .order_by(rows.c.seq)
        .limit(bindparam("most", type_=Integer))
    )


@cache
def _select_keys() -> Select[str | None]:
    keys = bindparam("keys", expanding=True, type_=Text)
    return select(Entry.dedup_key).where(*of_transcript(), Entry.dedup_key.in_(keys))


@cache
def _select_newest_key() -> Select[str | None]:
    return select(Entry.dedup_key).where(*of_transcript()).order_by(Entry.id.desc()).limit(1)


def _copy_rows(rows: Table) -> ReturningInsert[datetime]:
    """Copy the rows numbered `seqs` under `keys`, in order, without their passing through here.

    Shape: (created_at,) per row.
    """
    given = (
        func.unnest(
            cast(bindparam("seqs", type_=ARRAY(BigInteger)), ARRAY(BigInteger)),
            cast(bindparam("keys", type_=ARRAY(Text)), ARRAY(Text)),
        )
        .table_valued(column("seq", BigInteger), column("key", Text), name="given")
        .render_derived()
    )
    # A double holds the milliseconds of a time exactly enough: it is rounded to microseconds.
    written_at = func.to_timestamp(rows.c.mtime / literal_column("1000.0", Double), type_=UTCDateTime)
    copied = (
        select(PROJECT, SESSION, SUBPATH, given.c.key, rows.c.entry, written_at)
        .join_from(given, rows, and_(rows.c.seq == given.c.seq, *_of_source(rows)))
        .order_by(given.c.seq)
    )
    names = ["project_key", "session_id", "subpath", "dedup_key", "entry", "created_at"]
    return insert(Entry).from_select(names, copied, include_defaults=False).returning(Entry.created_at)
