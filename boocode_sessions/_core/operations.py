"""The contract over one Connection: what is read and written, in which order, under which lock.

Never begins or commits: the caller owns the transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias, TypeVarTuple

from sqlalchemy import Connection, Executable, Result, inspect
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import TypedReturnsRows

from boocode_sessions._core.codec import (
    EncodedEntry,
    decode,
    decode_all,
    decode_summary,
    encode_rows,
    encode_summary,
    key_and_facts,
    row_key,
    same_entry,
)
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import (
    Session,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
    Transcript,
)
from boocode_sessions._core.statements import contract as statements
from boocode_sessions._core.statements.contract import in_project, in_session, in_transcript
from boocode_sessions.errors import (
    DamagedEntryError,
    SchemaMissingError,
    SchemaNewerError,
    SchemaOutdatedError,
)
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, Base

_Row = TypeVarTuple("_Row")


PAGE_ROWS = 500
"""Most rows that one statement carries, or that a pass over a transcript holds at once."""
PAGE_CHARS = 4 << 20
"""Most characters of entries that one statement carries."""


class Tables(NamedTuple):
    """Our tables, over one connection."""

    connection: Connection
    schema: str | None = None
    """Where they are, when not where the connection's search path and `schema_translate_map` lead."""

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name

    def select(
        self, statement: TypedReturnsRows[*_Row], parameters: Mapping[str, Any] | None = None
    ) -> Result[*_Row]:
        return self.connection.execute(statement, parameters, execution_options=self._options())

    def write(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> int:
        """The number of rows written."""
        # An INSERT's count would be -1 otherwise, once the cursor is closed.
        options = {**self._options(), "preserve_rowcount": True}
        return self.connection.execute(statement, parameters, execution_options=options).rowcount

    def _options(self) -> dict[str, Any]:
        # Given with each statement: set on the connection it would outlive our call in a host's transaction.
        return {"schema_translate_map": {None: self.schema}} if self.schema else {}


Insert: TypeAlias = Callable[[Tables, Transcript, Sequence[EncodedEntry]], int]


class Turn(NamedTuple):
    """What a writer remembers of the session it wrote last; true while the row's `turn` is the same."""

    turn: int
    data: dict[str, Any] | None


def new_turn() -> int:
    """A value that `turn` has never had: a counter would begin again after a deletion."""
    return secrets.randbits(62)


def check_schema(tables: Tables) -> None:
    """Whether the schema is the one that this version needs. Raises SchemaError."""
    translated = tables.connection.get_execution_options().get("schema_translate_map", {})
    schema = tables.schema or translated.get(None)
    where = f"schema {schema!r}" if schema else "the database"
    command = "boocode-sessions upgrade" + (f" --schema {schema}" if schema else "")
    versions: set[str] = set()
    if inspect(tables.connection).has_table(VERSION_TABLE, schema=schema):
        versions = {version for (version,) in tables.select(statements.select_versions())}
    if not versions:
        raise SchemaMissingError(f"{where} has no tables of ours: run `{command}`")
    if (found := max(versions)) == SCHEMA_VERSION:
        return
    if found < SCHEMA_VERSION:
        raise SchemaOutdatedError(
            f"{where} is at schema version {found}, this version of the package needs {SCHEMA_VERSION}: "
            f"run `{command}`"
        )
    raise SchemaNewerError(
        f"{where} is at schema version {found}, this version of the package knows {SCHEMA_VERSION}: "
        "upgrade the boocode-sessions package"
    )


def check_columns(tables: Tables) -> None:
    """Whether a schema of the right version has all our tables and columns. Raises SchemaMissingError."""
    inspector = inspect(tables.connection)
    translated = tables.connection.get_execution_options().get("schema_translate_map", {})
    schema = tables.schema or translated.get(None)
    missing: list[str] = []
    for table in Base.metadata.sorted_tables:
        if not inspector.has_table(table.name, schema=schema):
            missing.append(table.name)
            continue
        there = {column["name"] for column in inspector.get_columns(table.name, schema=schema)}
        missing += [f"{table.name}.{name}" for name in table.columns.keys() if name not in there]  # noqa: SIM118
    if missing:
        raise SchemaMissingError(
            f"the schema is at version {SCHEMA_VERSION}, but lacks {', '.join(missing)}: "
            "restore it from a backup, and check the schema and the search_path"
        )


def load(tables: Tables, transcript: Transcript) -> list[SessionStoreEntry] | None:
    """A transcript's entries, oldest first; None when it has none."""
    loading = Loading(transcript, tables.dialect)
    take = loading.begin()
    for row in tables.select(statements.select_entries(), in_transcript(transcript)):
        take(row)
    return loading.end()


class Loading:
    """A transcript's entries, decoded as the rows of `select_entries` come.

    What PostgreSQL has as JSONB is sound JSON, and is decoded 32 rows at a time: a load takes an eighth less
    time, since most names of members are the same (benchmarks: `load`).
    """

    def __init__(self, transcript: Transcript, dialect: str | None) -> None:
        self.doing = f"load {transcript}"
        self._sound = dialect == "postgresql"
        self._entries: list[SessionStoreEntry] = []
        self._waiting: list[str] = []

    def begin(self) -> Callable[[tuple[str | None, str | None]], None]:
        """Begin anew. Returns what takes each row, and raises DamagedEntryError."""
        self._entries, self._waiting = [], []
        return self._take

    def end(self) -> list[SessionStoreEntry] | None:
        """All entries; None when there is none. Raises DamagedEntryError."""
        self._decode_waiting()
        return self._entries or None

    def _take(self, row: tuple[str | None, str | None]) -> None:
        in_entry, verbatim = row
        if in_entry is not None and self._sound:
            self._waiting.append(in_entry)
            if len(self._waiting) == _DECODED_TOGETHER:
                self._decode_waiting()
        else:
            self._decode_waiting()
            self._decode(verbatim or in_entry or "")

    def _decode_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._entries += decode_all(waiting)
        except DamagedEntryError:
            for text in waiting:
                self._decode(text)

    def _decode(self, text: str) -> None:
        try:
            entry = decode(text)
        except DamagedEntryError as error:
            problem = f"{self.doing}, entry {len(self._entries)}: {error}"
        else:
            self._entries.append(entry)
            return
        raise DamagedEntryError(problem)


_DECODED_TOGETHER = 32


def list_sessions(tables: Tables, project_key: str) -> list[SessionStoreListEntry]:
    """The main transcripts of a project."""
    rows = tables.select(statements.select_sessions(), in_project(project_key))
    return [{"session_id": session_id, "mtime": mtime} for session_id, mtime in rows]


def list_session_summaries(tables: Tables, project_key: str) -> list[SessionSummaryEntry]:
    """The summaries of a project that hold their whole transcript."""
    return [
        {"session_id": session_id, "mtime": mtime, "data": data}
        for session_id, mtime, text in tables.select(statements.select_summaries(), in_project(project_key))
        if (data := decode_summary(text)) is not None
    ]


def list_subkeys(tables: Tables, session: Session) -> list[str]:
    """The subpaths of a session."""
    return [
        subpath
        for (subpath,) in tables.select(statements.select_subkeys(tables.dialect), in_session(session))
    ]


def delete(tables: Tables, transcript: Transcript) -> None:
    """Remove a transcript; with the main one its whole session."""
    for statement, parameters in deletion(tables.dialect, transcript):
        tables.write(statement, parameters)


def deletion(dialect: str, transcript: Transcript) -> list[tuple[UpdateBase, dict[str, Any]]]:
    """The statements of `delete`, each with its parameters.

    The turn comes first, in a statement of its own, so that the deletion sees what the writer before us
    has committed. A session's is taken even where it has no row yet: a first append would come between
    its entries' deletion and its summary's, and be in no listing.
    """
    session: dict[str, Any] = {**in_session(transcript.session)}
    if transcript.is_main:
        return [
            (statements.wait_for_turn(dialect), session),
            (statements.delete_session(), session),
            (statements.delete_summary(), session),
        ]
    return [
        (statements.finish_turn(), {**session, "next_turn": new_turn()}),
        (statements.delete_transcript(), in_transcript(transcript)),
    ]


def append(
    tables: Tables,
    transcript: Transcript,
    entries: Sequence[Mapping[str, Any]],
    encoded: Sequence[EncodedEntry],
    insert: Insert | None = None,
) -> Turn:
    """Append a batch, after everything that other writers have committed.

    An entry whose idempotency key is known is not inserted again: an equal one changes nothing, another
    body replaces the old one in its place. `entries` and `encoded` are the same batch in two forms.
    `insert`: a way to insert it other than `insert_new`.
    """
    session = in_session(transcript.session)
    taken = tables.select(statements.take_turn(tables.dialect), session).one()
    turn, folded_id, old_data, updated_at = taken
    data = decode_summary(old_data)
    position = tables.select(statements.select_position(), in_transcript(transcript)).one()
    newest, newest_main, unclaimed = position
    claimed_at = claim(tables, transcript).newest if unclaimed else None

    batch = {item.dedup_key: item for item in encoded}
    counted = (insert or insert_new)(tables, transcript, list(batch.values()))
    known = {} if counted == len(batch) else _known(tables, transcript, list(batch), newest)
    inserted = len(batch) - len(known)  # whatever the driver counted: it may not know
    replaced = _replace(tables, known, batch)
    if not (inserted or replaced or claimed_at):
        return Turn(turn, data)

    next_turn = new_turn()
    finish = {**session, "next_turn": next_turn}
    if not transcript.is_main:
        tables.write(statements.finish_turn(), finish)
        return Turn(next_turn, data)
    follows = folded_id == newest_main and (data is None) == (newest_main is None)
    if follows and not (claimed_at or replaced) and len(batch) == len(entries):
        fresh = [entry for entry, item in zip(entries, encoded, strict=True) if item.dedup_key not in known]
        data = fold(data, transcript, fresh)
    else:
        data = fold_all(tables, transcript)
    finish |= {"folded_data": encoded_summary(data), "at": later(updated_at, claimed_at)}
    written = bool(inserted or replaced)
    tables.write(statements.finish_main_turn(folded=data is not None, written=written), finish)
    return Turn(next_turn, data)


class Claimed(NamedTuple):
    """Rows of other writers that now have their idempotency keys."""

    rows: int
    newest: datetime | None
    """When the newest of them was written."""


def claim(tables: Tables, transcript: Transcript, most: int | None = None) -> Claimed:
    """Give the rows that other writers inserted their idempotency keys, the oldest `most` or all.

    Needs the session's turn; the summary must be folded again afterwards.
    """
    claimed = Claimed(0, None)
    after = 0
    while claimed.rows != most:
        page = _page(transcript, after)
        if most is not None:
            page["most"] = min(PAGE_ROWS, most - claimed.rows)
        rows = tables.select(statements.select_unclaimed(), page).all()
        if not rows:
            break
        after = rows[-1][0]
        claimed = Claimed(claimed.rows + len(rows), later(claimed.newest, max(at for _, _, at in rows)))
        found = [(row_id, *key_and_facts(text)) for row_id, text, _ in rows]
        taken = set(_known(tables, transcript, [uuid for _, uuid, _ in found if uuid], after))
        claims: list[dict[str, Any]] = []
        for row_id, uuid, facts in found:
            key = row_key(row_id) if uuid is None or uuid in taken else uuid
            claims.append({"row_id": row_id, "key": key, "found": facts})
            taken.add(key)
        tables.write(statements.claim_entry(), claims)
    return claimed


def encoded_summary(data: Mapping[str, Any] | None) -> str | None:
    """A folded summary as it is stored."""
    return None if data is None else encode_summary(data)


def _page(transcript: Transcript, after: int) -> dict[str, Any]:
    return {**in_transcript(transcript), "after": after, "most": PAGE_ROWS}


def fold_all(tables: Tables, transcript: Transcript) -> dict[str, Any] | None:
    """The summary of a main transcript, from all of its entries; None when there is no fold."""
    data: dict[str, Any] | None = None
    after = 0
    while page := tables.select(statements.select_page(), _page(transcript, after)).all():
        after = page[-1][0]
        try:
            entries = [decode(text) for _, text in page]
        except DamagedEntryError:
            return None  # this costs the summary, not the append; the listing then reads, and raises
        if (data := fold(data, transcript, entries)) is None:
            return None
    return data


def insert_new(tables: Tables, transcript: Transcript, batch: Sequence[EncodedEntry]) -> int:
    """Insert those entries whose idempotency key is new. Returns how many, where the driver knows."""
    where = in_transcript(transcript)
    statement = statements.insert_entries(tables.dialect)
    if tables.dialect != "sqlite":
        return sum(
            tables.write(statement, {**where, "entries": f"[{encode_rows(0, part)}]"})
            for part in pages(batch)
        )
    return sum(
        tables.write(statement, [{**where, **item._asdict()} for item in part]) for part in pages(batch)
    )


def _known(
    tables: Tables, transcript: Transcript, keys: Sequence[str], up_to: int | None
) -> dict[str, tuple[int, str]]:
    """Which idempotency keys stood in a transcript up to an id: key -> (id, exact JSON text)."""
    known: dict[str, tuple[int, str]] = {}
    for start in range(0, len(keys) if up_to is not None else 0, PAGE_ROWS):
        part = {**in_transcript(transcript), "keys": keys[start : start + PAGE_ROWS], "up_to": up_to}
        for row_id, key, text in tables.select(statements.select_known(), part):
            known[key or ""] = (row_id, text)
    return known


def _replace(tables: Tables, known: Mapping[str, tuple[int, str]], batch: Mapping[str, EncodedEntry]) -> int:
    changed = [
        {
            "row_id": row_id,
            "text": batch[key].text,
            "exact": batch[key].verbatim,
            "new_facts": batch[key].facts,
        }
        for key, (row_id, text) in known.items()
        if not same_entry(text, batch[key])
    ]
    if changed:
        tables.write(statements.replace_entry(), changed)
    return len(changed)


def pages(batch: Sequence[EncodedEntry]) -> Iterator[list[EncodedEntry]]:
    """A batch in parts, each of which one statement can carry."""
    part: list[EncodedEntry] = []
    size = 0
    for item in batch:
        if part and (len(part) == PAGE_ROWS or size + len(item.text) > PAGE_CHARS):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.text)
    if part:
        yield part


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times, of which either may be missing."""
    return max((at for at in (one, other) if at is not None), default=None)
