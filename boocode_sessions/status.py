"""What a database holds: its schema's version, counts, sizes, and summaries that are behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Integer,
    Select,
    Subquery,
    Text,
    case,
    column,
    distinct,
    func,
    select,
    table,
    true,
)

from boocode_sessions import migrations
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.database_errors import is_of_database, translate
from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.schema_check import found_schema
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.parameters import unplaced
from boocode_sessions._core.statements.read import is_true_fold
from boocode_sessions._core.statements.search import select_behind_count
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, Base, ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a database's schema stands."""

    database: str
    """The server's name and version."""
    needed: str
    """The schema version that this version of the package needs."""
    found: str | None
    """The version that is there; None where we have no tables."""
    compatible: bool
    """Whether this version of the package goes with it: also a newer one that only adds to the schema."""
    pending: list[str]
    """What `upgrade` would apply."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What our tables hold."""

    projects: int
    sessions: int
    """That have a main transcript."""
    transcripts: int
    """Main ones and subagents'."""
    entries: int
    unplaced: int
    """Entries of other writers that nobody has placed yet."""
    held: int
    """Sessions exempt from pruning."""
    stale_summaries: int
    """Sessions whose summary is missing or not the fold of all their entries: listings read those whole."""
    behind: int
    """Sessions with entries that no question has taken yet: the next one takes them first, or `backfill`."""
    bytes: int
    """On disk: the tables and indexes on PostgreSQL, the whole database file on SQLite."""
    newest: datetime | None
    """When the last entry was stored."""
    oldest: datetime | None
    """When the first of them was."""


def schema_status(bind: Engine, *, schema: str | None = None) -> SchemaStatus:
    """Where the schema stands. Works over a database without our tables too. Raises SessionStoreError."""
    try:
        with bind.connect() as connection:
            return _schema_status(connection, schema)
    except Exception as error:
        if not is_of_database(error, connecting=True):
            raise
        failure = translate(error, "ask for the schema's version")
    raise failure


def holdings(bind: Bind, *, schema: str | None = None) -> Holdings:
    """What our tables hold, counted exactly: it reads an index over all entries. Raises SessionStoreError."""
    return UnitOfWork(bind, schema).scan("count what the database holds", _holdings)


def schemas_with_tables(bind: Engine) -> list[str]:
    """The schemas of a PostgreSQL database that hold our tables; none on SQLite. Raises SessionStoreError."""
    if bind.dialect.name != "postgresql":
        return []
    tables = table(
        "tables", column("table_schema", Text), column("table_name", Text), schema="information_schema"
    )
    found = select(tables.c.table_schema).where(tables.c.table_name == VERSION_TABLE)
    try:
        with bind.connect() as connection:
            return sorted(connection.scalars(found))
    except Exception as error:
        if not is_of_database(error, connecting=True):
            raise
        failure = translate(error, "look for our tables")
    raise failure


def _schema_status(connection: Connection, schema: str | None) -> SchemaStatus:
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    name = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}.get(connection.dialect.name, "")
    there = found_schema(StoreConnection(connection, schema))
    found = there.version if there else None
    newer = found is not None and found > SCHEMA_VERSION
    pending = [] if newer else migrations.pending(connection, schema=schema)
    compatible = there is not None and there.is_compatible
    return SchemaStatus(f"{name} {version}", SCHEMA_VERSION, found, compatible, pending)


def _holdings(connection: StoreConnection) -> Holdings:
    entries, unplaced, oldest, newest = connection.select(_select_entry_counts()).one()
    transcripts = connection.select(select(func.count()).select_from(_transcripts())).scalar_one()
    projects, sessions = connection.select(_select_session_counts()).one()
    fresh, held = connection.select(_select_summary_counts()).one()
    return Holdings(
        projects=projects,
        sessions=sessions,
        transcripts=transcripts,
        entries=entries,
        unplaced=unplaced,
        held=held,
        stale_summaries=sessions - fresh,
        behind=connection.select(select_behind_count()).scalar_one(),
        bytes=_bytes(connection),
        newest=newest,
        oldest=oldest,
    )


def _select_entry_counts() -> Select[int, int, datetime | None, datetime | None]:
    """Shape: one row (entries, unplaced, oldest, newest)."""
    others = select(func.count()).select_from(Entry).where(unplaced()).scalar_subquery()
    return select(
        func.count(Entry.id),
        others,
        func.min(Entry.created_at, type_=UTCDateTime()),
        func.max(Entry.created_at, type_=UTCDateTime()),
    )


def _transcripts() -> Subquery:
    return (
        select(Entry.project_key, Entry.session_id, Entry.subpath)
        .group_by(Entry.project_key, Entry.session_id, Entry.subpath)
        .subquery("transcripts")
    )


def _select_session_counts() -> Select[int, int]:
    """Shape: one row (projects, sessions), of those with a main transcript."""
    transcripts = _transcripts()
    return select(func.count(distinct(transcripts.c.project_key)), func.count()).where(
        transcripts.c.subpath == MAIN
    )


def _select_summary_counts() -> Select[int, int]:
    """Shape: one row (summaries that hold their whole transcript, held sessions)."""
    return select(
        func.coalesce(func.sum(case((is_true_fold(), 1), else_=0)), 0),
        func.coalesce(func.sum(case((ClaudeSession.held, 1), else_=0)), 0),
    )


def _bytes(connection: StoreConnection) -> int:
    if connection.dialect == "sqlite":
        pages = func.pragma_page_count().table_valued(column("page_count", Integer))
        page = func.pragma_page_size().table_valued(column("page_size", Integer))
        (size,) = connection.select(
            select(pages.c.page_count * page.c.page_size).join_from(pages, page, true())
        ).one()
        return int(size)
    preparer = connection.connection.dialect.identifier_preparer
    schema = connection.effective_schema
    names = [
        ".".join(map(preparer.quote, [schema, table] if schema else [table]))
        for table in Base.metadata.tables
    ]
    sizes = [func.pg_total_relation_size(func.to_regclass(name), type_=BigInteger()) for name in names]
    return sum(connection.select(select(*sizes)).one())
