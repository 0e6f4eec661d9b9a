"""Functions that create, upgrade and change the schema.

Alembic is imported when one of them is called, so that a program that only reads and writes sessions does not
pay for it.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine

from boocode_sessions import errors
from boocode_sessions._core import database_errors
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.transactions import connected, fetched_at_once
from boocode_sessions.engine import check_dialect, create_engine
from boocode_sessions.migrations import host
from boocode_sessions.migrations.autogenerate import ignore_owned, ignore_owned_objects
from boocode_sessions.migrations.target import effective_schema, targeting

__all__ = [
    "distribute",
    "downgrade",
    "host",
    "ignore_owned",
    "ignore_owned_objects",
    "pending",
    "prepare",
    "protect_tenants",
    "targeting",
    "unprotect_tenants",
    "upgrade",
    "upgrade_script",
]


_T = TypeVar("_T")


@checked
def upgrade(bind: Engine | Connection | str | URL, to: str = "head", *, schema: str | None = None) -> None:
    """Upgrade the schema to a version, by default to the one that this package needs.

    A failed upgrade leaves everything as it was. Programs that start at the same time take turns, and all but
    the first find nothing to do. Over an AsyncEngine or AsyncConnection, use
    `await boocode_sessions.run_sync(migrations.upgrade, engine)`. Inside a revision of a host's own chain,
    call `migrations.host.upgrade` instead.

    Args:
        bind: An Engine or a URL, over which the upgrade is one transaction; or a Connection, whose
            transaction the caller commits.
        to: The version.
        schema: The schema for the tables, if the connection's search path does not lead to it. It is created
            if it does not exist.

    Raises:
        SessionStoreError: The schema can't be upgraded.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    _over(bind, f"upgrade the schema to {to}", lambda connection: chain.upgrade(connection, to, schema))


@checked
def downgrade(bind: Engine | Connection | str | URL, to: str = "base", *, schema: str | None = None) -> None:
    """Take the schema back to a version. The default drops the tables with all their rows, adopted ones too.

    Args:
        bind: An Engine or a URL, over which the downgrade is one transaction; or a Connection, whose
            transaction the caller commits.
        to: The version; `base` for none.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: The schema can't be downgraded.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    _over(bind, f"downgrade the schema to {to}", lambda connection: chain.downgrade(connection, to, schema))


@checked
def pending(bind: Engine | Connection | str | URL, *, schema: str | None = None) -> list[str]:
    """Return the versions that `upgrade` would apply, oldest first. It writes nothing.

    Raises SchemaNewerError if a newer version of this package made the schema, and this one can't use it.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    return _over(
        bind,
        "look up the schema's version",
        lambda connection: chain.pending(connection, effective_schema(connection, schema)),
        writes=False,
    )


@checked
def upgrade_script(dialect: str = "postgresql", to: str = "head", *, schema: str | None = None) -> str:
    """Return the SQL that creates the schema in a database without it, for a person to run.

    On PostgreSQL the script also adopts a `claude_session_entries` that another store has filled.

    Args:
        dialect: `postgresql` or `sqlite`.
        to: The version to create.
        schema: The schema for the tables, if the connection's search path does not lead to it.

    Raises:
        SessionStoreError: The version or the dialect is unknown.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    return chain.script(dialect, to, schema)


@checked
def prepare(bind: Engine | str | URL, *, schema: str | None = None) -> None:
    """Do the long part of adopting a big `claude_session_entries` in advance, while its writers go on.

    It adds the columns, fills NULL subpaths in batches and builds the indexes with CREATE INDEX CONCURRENTLY,
    so that the upgrade has only to scan the table. It is optional, can be interrupted and called again, and
    does nothing if there is nothing to adopt. It waits for transactions that are older than itself. It does
    nothing on databases other than PostgreSQL. Raises SessionStoreError.
    """
    from boocode_sessions.migrations import adopting  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated("prepare the table for its adoption"):
        adopting.prepare(engine, schema)


@checked
def protect_tenants(
    bind: Engine | Connection | str | URL, *, role: str | None = None, schema: str | None = None
) -> None:
    """Let PostgreSQL itself separate tenants: a program sees no row unless it names its tenant.

    This uses row-level security, for the tables' owner too. Superusers and roles with BYPASSRLS see all rows.
    It waits for transactions under way. See docs/many-users.md.

    Args:
        bind: An Engine, a Connection or a URL.
        role: The role that may see the rows of the tenant that it names. The default is every role.
        schema: The schema of the tables, if the connection's search path does not lead to it.

    Raises:
        UnsupportedBindError: The database is not PostgreSQL, or is a Citus cluster.
        SessionStoreError: The database refused or failed.
    """
    from boocode_sessions.migrations import tenants  # noqa: PLC0415 - imports Alembic

    _over(bind, "protect the tenants", lambda connection: tenants.protect(connection, schema, role))


@checked
def unprotect_tenants(bind: Engine | Connection | str | URL, *, schema: str | None = None) -> None:
    """Undo `protect_tenants`. Raises SessionStoreError."""
    from boocode_sessions.migrations import tenants  # noqa: PLC0415 - imports Alembic

    _over(bind, "no longer protect the tenants", lambda connection: tenants.unprotect(connection, schema))


@checked
def distribute(
    bind: Engine | str | URL,
    *,
    shard_count: int = 32,
    online: bool = False,
    schema: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Spread the tables over the servers of a Citus cluster. All rows of a project are on the same server.

    It skips steps that are done already, so an interrupted call can be repeated. Later upgrades run on a
    distributed database as on any other. See docs/past-one-machine.md.

    Args:
        bind: An Engine over the cluster's coordinator, or its URL.
        shard_count: The number of shards for the projects: at least twice the most servers that there will
            ever be.
        online: Copy while writers go on, in several transactions. This needs `wal_level = logical`. Otherwise
            everything is one transaction, and writers wait for it.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        progress: Called with a text after each step.

    Raises:
        UnsupportedBindError: The server has no Citus; the message says what to install.
        SessionStoreError: The schema is not at the needed version, or the database failed.
    """
    from boocode_sessions.migrations import distributing  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated("distribute the tables"):
        distributing.distribute(engine, schema, shard_count, progress, online=online)


def _over(
    bind: Engine | Connection | str | URL,
    operation: str,
    run: Callable[[Connection], _T],
    *,
    writes: bool = True,
) -> _T:
    if isinstance(bind, Connection):
        check_dialect(bind.dialect.name)
        with fetched_at_once(bind):
            return run(bind)
    from boocode_sessions.migrations.locking import own_transaction  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated(operation):
        opened = own_transaction if writes else connected
        with opened(engine) as connection:
            return run(connection)


@contextmanager
def _engine(bind: object) -> Generator[Engine]:
    if isinstance(bind, Engine):
        check_dialect(bind.dialect.name)
        yield bind
    elif isinstance(bind, str | URL):
        engine = create_engine(bind)
        try:
            yield engine
        finally:
            engine.dispose()
    else:
        hint = ": call `await run_sync(function, engine)` of boocode_sessions" * hasattr(bind, "sync_engine")
        raise TypeError(f"bind is an Engine, a Connection or a URL, not {type(bind).__name__}{hint}")


@contextmanager
def _translated(operation: str) -> Generator[None]:
    try:
        yield
    except Exception as error:
        if not database_errors.is_of_database(error, connecting=True):
            raise
        # Unlike elsewhere the cause is chained and quoted: migration statements have no transcript content.
        raise _failure(error, operation) from error


def _failure(error: Exception, operation: str) -> errors.SessionStoreError:
    failure = database_errors.translate(error, operation)
    if isinstance(
        failure,
        errors.UnavailableError | errors.TimedOutError | errors.RetryableError | errors.EncodingError,
    ):
        return failure
    kind = type(failure) if isinstance(failure, errors.DatabaseError) else errors.DatabaseError
    reason = str(getattr(error, "orig", error)).partition("\n")[0]
    sqlstate = database_errors.sqlstate_of(error)
    lacks_rights = isinstance(failure, errors.PermissionDeniedError) or sqlstate == _NO_SCHEMA
    advice = _ADVICE if lacks_rights else ""
    if sqlstate == _NO_SCHEMA:
        advice += _WHICH_SCHEMA
    failed = kind(f"{operation}: failed and changed nothing: {reason}{advice}")
    failed.sqlstate = sqlstate
    return failed


_NO_SCHEMA = "3F000"
"""The server's code for a missing schema, also if the user may not use the schema of the search path."""
_ADVICE = (
    "; run it as a role that owns the tables that are there, and has CREATE and USAGE on the schema, "
    "or CREATE on the database where the schema is missing"
)
_WHICH_SCHEMA = "; if it has, its search_path names no schema that is there: set it, or name the schema"
