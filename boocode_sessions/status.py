"""Reports what a database holds: its schema version, counts, sizes, and summaries that are behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    Subquery,
    Text,
    cast,
    column,
    distinct,
    func,
    select,
    table,
    true,
)

from boocode_sessions import migrations
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.binds import check_bind
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import is_readable
from boocode_sessions._core.derived.indexing import is_encrypted
from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.keys import MAIN
from boocode_sessions._core.schema_check import found_schema
from boocode_sessions._core.sql.types import UTCDateTime
from boocode_sessions._core.statements.derived import select_behind_count
from boocode_sessions._core.statements.parameters import table_name, unplaced
from boocode_sessions._core.statements.read import is_summary_current
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork, run_over
from boocode_sessions.migrations.distributing import DISTRIBUTED
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, Base, ClaudeSession
from boocode_sessions.models import ClaudeSessionEntry as Entry

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The version of a database's schema, and what it lacks."""

    database: str
    """The server's name and version."""
    needed: str
    """The schema version that this version of the package needs."""
    found: str | None
    """The version that was found; None without our tables."""
    compatible: bool
    """True if this package works with the schema. Newer schemas that only add to ours work too."""
    pending: list[str]
    """The versions that `upgrade` would apply."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What our tables hold."""

    projects: int
    sessions: int
    """Sessions with a main transcript."""
    transcripts: int
    """Main transcripts and subagents'."""
    entries: int
    unplaced: int
    """Entries of other writers that nobody has placed yet."""
    held: int
    """Sessions exempt from pruning."""
    stale_summaries: int
    """Sessions whose summary is missing or is not the fold of all entries: listings read those whole."""
    behind: int | None
    """Sessions with entries that the search index lacks. The next `search` adds them, and so does `backfill`.
    In an encrypted store, which has no such index, sessions with entries that `usage` has yet to add up.
    None if the user may not read the derived tables."""
    bytes: int
    """Size on disk: the tables and indexes on PostgreSQL, the whole database file on SQLite."""
    shards: int | None
    """Shards over which Citus has spread the entries; None if it has not."""
    nodes: int | None
    """Servers that hold these shards."""
    newest: datetime | None
    """When the newest entry was stored."""
    oldest: datetime | None
    """When the oldest entry was stored."""


@checked
def schema_status(bind: Engine, *, schema: str | None = None) -> SchemaStatus:
    """Return the state of the schema, also of a database without our tables. Raises SessionStoreError."""
    _check_engine(bind)
    return run_over(bind, "ask for the schema's version", lambda it: _schema_status(it, schema))


@checked
def holdings(bind: Bind, *, schema: str | None = None) -> Holdings:
    """Count what our tables hold, exactly: it reads an index of all entries. Raises SessionStoreError."""
    return UnitOfWork(bind, schema).scan("count what the database holds", _holdings)


@checked
def schemas_with_tables(bind: Engine) -> list[str]:
    """Return the PostgreSQL schemas that hold our tables; none on SQLite. Raises SessionStoreError."""
    _check_engine(bind)
    if bind.dialect.name != "postgresql":
        return []
    tables = table(
        "tables", column("table_schema", Text), column("table_name", Text), schema="information_schema"
    )
    found = select(tables.c.table_schema).where(tables.c.table_name == VERSION_TABLE)
    return run_over(bind, "look for our tables", lambda connection: sorted(connection.scalars(found)))


def _check_engine(bind: object) -> None:
    check_bind(bind, known=isinstance(bind, Engine), takes="an Engine")


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
    entries, oldest, newest = connection.select(_select_entry_counts()).one()
    others = _count(connection, Entry, unplaced())
    transcripts = connection.select(select(func.count()).select_from(_transcripts())).scalar_one()
    projects, sessions = connection.select(_select_session_counts()).one()
    fresh = _count(connection, ClaudeSession, is_summary_current())
    held = _count(connection, ClaudeSession, ClaudeSession.held.is_(true()))
    shards, nodes = _shards(connection)
    return Holdings(
        projects=projects,
        sessions=sessions,
        transcripts=transcripts,
        entries=entries,
        unplaced=others,
        held=held,
        stale_summaries=sessions - fresh,
        behind=_count_behind(connection),
        bytes=_bytes(connection, distributed=shards is not None),
        shards=shards,
        nodes=nodes,
        newest=newest,
        oldest=oldest,
    )


def _count_behind(connection: StoreConnection) -> int | None:
    if not is_readable(connection):
        return None
    return connection.select(select_behind_count(encrypted=is_encrypted(connection))).scalar_one()


def _count(connection: StoreConnection, model: type[Base], condition: ColumnElement[bool]) -> int:
    """Count the rows that meet a condition. Each count is a statement of its own, because a distributed
    database accepts no subquery beside or inside an aggregate."""
    return connection.select(select(func.count()).select_from(model).where(condition)).scalar_one()


def _select_entry_counts() -> Select[int, datetime | None, datetime | None]:
    """Shape: one row (entries, oldest, newest)."""
    return select(
        func.count(Entry.id),
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
    """Count sessions with a main transcript. Shape: one row (projects, sessions)."""
    transcripts = _transcripts()
    return select(func.count(distinct(transcripts.c.project_key)), func.count()).where(
        transcripts.c.subpath == MAIN
    )


def _shards(connection: StoreConnection) -> tuple[int | None, int | None]:
    """Return how many shards the entries have, and on how many nodes; None and None if they have none."""
    if not is_distributed(connection.connection):
        return None, None
    shards = table("pg_dist_shard", column("shardid"), column("logicalrelid"))
    placements = table("pg_dist_placement", column("shardid"), column("groupid"))
    of_entries = shards.c.logicalrelid == func.to_regclass(_name(connection, Entry.__tablename__))
    count, nodes = connection.select(
        select(func.count(distinct(shards.c.shardid)), func.count(distinct(placements.c.groupid)))
        .join_from(shards, placements, shards.c.shardid == placements.c.shardid)
        .where(of_entries)
    ).one()
    return (count, nodes) if count else (None, None)


def _name(connection: StoreConnection, name: str) -> str:
    return table_name(name, connection.connection.dialect, connection.effective_schema)


def _bytes(connection: StoreConnection, *, distributed: bool) -> int:
    if connection.dialect == "sqlite":
        pages = func.pragma_page_count().table_valued(column("page_count", Integer))
        page = func.pragma_page_size().table_valued(column("page_size", Integer))
        (size,) = connection.select(
            select(pages.c.page_count * page.c.page_size).join_from(pages, page, true())
        ).one()
        return int(size)
    total = 0
    for name in Base.metadata.tables:
        relation = func.to_regclass(_name(connection, name))
        if distributed and name in DISTRIBUTED:
            size = select(func.citus_total_relation_size(relation, type_=BigInteger()))
        else:  # includes partitions that a host may have made
            parts = func.pg_partition_tree(relation).table_valued(column("relid"))
            of_parts = select(func.sum(func.pg_total_relation_size(parts.c.relid))).scalar_subquery()
            size = select(cast(func.coalesce(of_parts, func.pg_total_relation_size(relation)), BigInteger))
        total += connection.select(size).scalar_one()
    return total
