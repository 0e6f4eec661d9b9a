"""Our tables spread over the servers of a Citus cluster, each project's rows on one of them.

Every step looks first whether it is done, so that a call that was interrupted can be made again.
"""

from collections.abc import Callable

import sqlalchemy as sa

from boocode_sessions._core.distributed import forget, is_distributed
from boocode_sessions.errors import SchemaError, UnsupportedBindError
from boocode_sessions.migrations import adopting, chain
from boocode_sessions.migrations.locking import own_transaction
from boocode_sessions.migrations.target import effective_schema
from boocode_sessions.models import VERSION_TABLE

ENTRIES = "claude_session_entries"
SESSIONS = "claude_sessions"

_KEY_INDEX = "claude_session_entries_position_idx"
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
    """As migrations.distribute."""
    if engine.dialect.name != "postgresql":
        raise UnsupportedBindError(f"distribute: only PostgreSQL can, with Citus, not {engine.dialect.name}")
    forget(engine.pool)
    with engine.connect() as connection:
        if not is_distributed(connection):
            raise UnsupportedBindError(f"distribute: {_MISSING}")
        where = effective_schema(connection, schema)
        if missing := chain.pending(connection, where):
            raise SchemaError(f"distribute: run `boocode-sessions upgrade` first, to {missing[-1]}")
    if online:
        _distribute_online(engine, where, shard_count, progress)
    else:
        with own_transaction(engine) as connection:
            # A new reference table and a new shard each lock the catalogue of nodes.
            connection.execute(sa.text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))
            _distribute_at_once(connection, where, shard_count, progress)
    forget(engine.pool)


def _distribute_at_once(
    connection: sa.Connection, schema: str | None, shard_count: int, progress: Progress
) -> None:
    # In the order in which appends lock them: the other one would be a deadlock.
    tables = f"{_name(schema, SESSIONS)}, {_name(schema, ENTRIES)}"
    connection.execute(sa.text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
    _take_key(connection, schema, progress)
    for table in (ENTRIES, SESSIONS):
        if not _is_distributed(connection, schema, table):
            _call(connection, "create_distributed_table", schema, table, shard_count)
            progress(f"{table} is distributed")
    _finish(connection, schema, progress)


def _distribute_online(engine: sa.Engine, schema: str | None, shard_count: int, progress: Progress) -> None:
    with own_transaction(engine) as connection:
        _take_key(connection, schema, progress)
    with adopting.building(engine) as connection:
        for table in (ENTRIES, SESSIONS):
            if not _is_distributed(connection, schema, table):
                _call(connection, "create_distributed_table_concurrently", schema, table, shard_count)
                progress(f"{table} is distributed")
    with own_transaction(engine) as connection:
        _finish(connection, schema, progress)


def _take_key(connection: sa.Connection, schema: str | None, progress: Progress) -> None:
    """A distributed table's primary key begins with the column that it is distributed by."""
    table = _name(schema, ENTRIES)
    constraint = connection.execute(
        sa.text(
            "SELECT conname FROM pg_catalog.pg_constraint"
            " WHERE conrelid = to_regclass(:name) AND contype = 'p'"
        ),
        {"name": table},
    ).scalar_one_or_none()
    if constraint == _KEY_INDEX:
        return
    dropping = "" if constraint is None else f"DROP CONSTRAINT {_quoted(connection, constraint)}, "
    connection.execute(
        sa.text(
            f"ALTER TABLE {table} {dropping}ADD CONSTRAINT {_KEY_INDEX} PRIMARY KEY USING INDEX {_KEY_INDEX}"
        )
    )
    progress(f"the key of {ENTRIES} begins with {_BY}")


def _finish(connection: sa.Connection, schema: str | None, progress: Progress) -> None:
    if not _is_distributed(connection, schema, VERSION_TABLE):
        # On every node, so that programs may connect to any of them.
        connection.execute(
            sa.text("SELECT create_reference_table(CAST(:name AS regclass))"),
            {"name": _name(schema, VERSION_TABLE)},
        )
        progress(f"{VERSION_TABLE} is on every node")
    for table in (ENTRIES, SESSIONS, VERSION_TABLE):
        # What the copy has left in the table itself, where nobody reads it any more.
        connection.execute(
            sa.text("SELECT truncate_local_data_after_distributing_table(CAST(:name AS regclass))"),
            {"name": _name(schema, table)},
        )


def _call(connection: sa.Connection, function: str, schema: str | None, table: str, shard_count: int) -> None:
    """Distribute a table; the sessions beside the entries of their projects."""
    values: dict[str, object] = {"name": _name(schema, table), "by": _BY}
    if table == ENTRIES:
        how, values["shards"] = "colocate_with => 'none', shard_count => :shards", shard_count
    else:
        how, values["beside"] = "colocate_with => :beside", _name(schema, ENTRIES)
    connection.execute(sa.text(f"SELECT {function}(CAST(:name AS regclass), :by, {how})"), values)


def _is_distributed(connection: sa.Connection, schema: str | None, table: str) -> bool:
    """Whether a table is distributed, or is a reference table."""
    query = "SELECT true FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass(:name)"
    return connection.execute(sa.text(query), {"name": _name(schema, table)}).first() is not None


def _name(schema: str | None, table: str) -> str:
    return adopting.quoted(schema, table)


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
