"""Spreads our tables over the servers of a Citus cluster. All rows of a project are on the same server.

Each step first checks whether it is done already, so an interrupted call can be repeated.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.derived.catching_up import lock
from boocode_sessions._core.distributed import forget, is_distributed
from boocode_sessions._core.transactions import connected
from boocode_sessions.errors import SchemaError, UnsupportedBindError
from boocode_sessions.migrations import adopting, chain
from boocode_sessions.migrations.locking import own_transaction
from boocode_sessions.migrations.target import effective_schema
from boocode_sessions.migrations.tenants import are_protected
from boocode_sessions.models import VERSION_TABLE

ENTRIES = "claude_session_entries"
DISTRIBUTED = (
    # In the order in which appends and deletions lock them: any other order could deadlock.
    "claude_sessions",
    "claude_session_texts",
    ENTRIES,
    "claude_session_digests",
    "claude_session_calls",
    "claude_session_tool_uses",
)
"""The tables that are spread by project. The agents' table is not: its key is the chat, and no query joins it
with these."""

_BY = "project_key"

_MISSING = (
    "this server has no Citus: install it on each server of the cluster, set "
    "shared_preload_libraries = 'citus', run CREATE EXTENSION citus in this database on each, then "
    "citus_set_coordinator_host(...) and citus_add_node(...) here, and call this again"
)

Progress = Callable[[str], None]


def distribute(
    engine: sa.Engine, schema: str | None, shard_count: int, progress: Progress, *, online: bool
) -> None:
    """Do the work of `migrations.distribute`."""
    if engine.dialect.name != "postgresql":
        raise UnsupportedBindError(f"distribute: only PostgreSQL can, with Citus, not {engine.dialect.name}")
    forget(engine.pool)
    with connected(engine) as connection:
        if not is_distributed(connection):
            raise UnsupportedBindError(f"distribute: {_MISSING}")
        where = effective_schema(connection, schema)
        if are_protected(connection, schema):
            raise UnsupportedBindError(
                "distribute: Citus can't keep tenants apart with row-level security; call "
                "`migrations.unprotect_tenants` first, and go on with tenant= of the stores"
            )
        if missing := chain.pending(connection, where):
            raise SchemaError(f"distribute: run `boocode-sessions upgrade` first, to {missing[-1]}")
    if online:
        _distribute_online(engine, where, shard_count, progress)
    else:
        with own_transaction(engine) as connection:
            # Making a reference table and making a shard each lock the catalogue of nodes.
            connection.execute(sa.text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))
            _distribute_at_once(connection, where, shard_count, progress)
    forget(engine.pool)


def _distribute_at_once(
    connection: sa.Connection, schema: str | None, shard_count: int, progress: Progress
) -> None:
    # Catching up locks the derived tables before the entries.
    lock(StoreConnection(connection, schema))
    tables = ", ".join(_name(schema, table) for table in DISTRIBUTED)
    connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
    for key in _keys(connection, schema):
        connection.execute(sa.text(f"{key.replacing} ({key.columns})"))
        progress(key.done)
    _distribute_tables(connection, "create_distributed_table", schema, shard_count, progress)
    _finish(connection, schema, progress)


def _distribute_online(engine: sa.Engine, schema: str | None, shard_count: int, progress: Progress) -> None:
    with adopting.building(engine) as connection:
        for key in _keys(connection, schema):
            index = f"{key.table}_distributed_key"
            on = f"{_name(schema, key.table)} ({key.columns})"
            # An interrupted call may have left half an index.
            connection.execute(sa.text(f"DROP INDEX IF EXISTS {_name(schema, index)}"))
            connection.execute(sa.text(f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {on}"))
            connection.execute(sa.text(f"{key.replacing} USING INDEX {index}"))
            progress(key.done)
        _distribute_tables(connection, "create_distributed_table_concurrently", schema, shard_count, progress)
    with own_transaction(engine) as connection:
        _finish(connection, schema, progress)


class _Key(NamedTuple):
    """A primary key that lacks the column by which its table is distributed."""

    table: str
    columns: str
    """The key's columns, quoted, with that column last, so that it still serves the same statements."""
    replacing: str
    """The statement that replaces the key, up to the new key's columns or index."""

    @property
    def done(self) -> str:
        return f"the key of {self.table} has {_BY}"


def _keys(connection: sa.Connection, schema: str | None) -> Iterator[_Key]:
    """Yield the primary keys to change."""
    quote = connection.dialect.identifier_preparer.quote
    for table in DISTRIBUTED:
        name, columns = connection.execute(_SELECT_KEY, {"name": _name(schema, table)}).one_or_none() or (
            None,
            ["id"],  # an adopted table without a key
        )
        if _BY in columns:
            continue
        key = quote(name or f"{table}_pkey")
        dropping = "" if name is None else f"DROP CONSTRAINT {key}, "
        yield _Key(
            table,
            ", ".join(map(quote, [*columns, _BY])),
            f"ALTER TABLE {_name(schema, table)} {dropping}ADD CONSTRAINT {key} PRIMARY KEY",
        )


_SELECT_KEY = sa.text(
    "SELECT conname, (SELECT array_agg(CAST(attname AS TEXT) ORDER BY array_position(conkey, attnum))"
    " FROM pg_catalog.pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey))"
    " FROM pg_catalog.pg_constraint WHERE conrelid = to_regclass(:name) AND contype = 'p'"
)


def _distribute_tables(
    connection: sa.Connection, function: str, schema: str | None, shard_count: int, progress: Progress
) -> None:
    """Distribute the entries first: the other tables are placed beside the entries of their projects."""
    for table in (ENTRIES, *(table for table in DISTRIBUTED if table != ENTRIES)):
        if _is_distributed(connection, schema, table):
            continue
        values: dict[str, object] = {"name": _name(schema, table), "by": _BY}
        if table == ENTRIES:
            how, values["shards"] = "colocate_with => 'none', shard_count => :shards", shard_count
        else:
            how, values["beside"] = "colocate_with => :beside", _name(schema, ENTRIES)
        connection.execute(sa.text(f"SELECT {function}(CAST(:name AS regclass), :by, {how})"), values)
        progress(f"{table} is distributed")


def _finish(connection: sa.Connection, schema: str | None, progress: Progress) -> None:
    if not _is_distributed(connection, schema, VERSION_TABLE):
        # Every node has a copy, so that programs may connect to any of them.
        connection.execute(
            sa.text("SELECT create_reference_table(CAST(:name AS regclass))"),
            {"name": _name(schema, VERSION_TABLE)},
        )
        progress(f"{VERSION_TABLE} is on every node")
    for table in (*DISTRIBUTED, VERSION_TABLE):
        # The rows that were copied are still in the local table, where nobody reads them any more.
        connection.execute(
            sa.text("SELECT truncate_local_data_after_distributing_table(CAST(:name AS regclass))"),
            {"name": _name(schema, table)},
        )


def _is_distributed(connection: sa.Connection, schema: str | None, table: str) -> bool:
    """True if a table is distributed or is a reference table."""
    query = "SELECT true FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass(:name)"
    return connection.execute(sa.text(query), {"name": _name(schema, table)}).first() is not None


def _name(schema: str | None, table: str) -> str:
    return adopting.named(schema, table)
