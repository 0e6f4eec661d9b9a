"""The schema's migrations, and how a host or a person runs them.

Alembic is imported when a function here is called, not before: a program that only reads and writes
sessions pays nothing for it.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine

from boocode_sessions import errors
from boocode_sessions._core import database_errors
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.transactions import connected, fetched_at_once
from boocode_sessions.engine import check_dialect, create_engine
from boocode_sessions.migrations import host
from boocode_sessions.migrations.autogenerate import ignore_owned, ignore_owned_objects, render_item
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
    "render_item",
    "targeting",
    "unprotect_tenants",
    "upgrade",
    "upgrade_script",
]


@checked
def upgrade(bind: Engine | Connection | str | URL, to: str = "head", *, schema: str | None = None) -> None:
    """Bring the schema to a version, by default to the one that this package needs.

    Over an Engine or a URL in one transaction: a failed upgrade leaves everything as it was. Programs that
    start at the same time take turns; all but the first find nothing to do. A Connection's transaction is
    the caller's: nothing is committed there. Over an AsyncEngine or AsyncConnection:
    `await boocode_sessions.run_sync(migrations.upgrade, engine)`. Inside a revision of a host's own chain
    call `migrations.host.upgrade` instead.

    A `schema` that does not exist is created. Raises SessionStoreError.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    _over(bind, f"upgrade the schema to {to}", lambda connection: chain.upgrade(connection, to, schema))


@checked
def downgrade(bind: Engine | Connection | str | URL, to: str = "base", *, schema: str | None = None) -> None:
    """Take the schema back to a version; `base` drops the tables and what is in them, adopted rows too.

    Transactions as in `upgrade`. Raises SessionStoreError.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    _over(bind, f"downgrade the schema to {to}", lambda connection: chain.downgrade(connection, to, schema))


@checked
def pending(bind: Engine | Connection | str | URL, *, schema: str | None = None) -> list[str]:
    """The versions that `upgrade` would apply, oldest first; empty when the schema is as needed.

    Writes nothing. Raises SchemaNewerError when a newer version of this package made the schema.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    missing: list[str] = []
    _over(
        bind,
        "look up the schema's version",
        lambda connection: missing.extend(chain.pending(connection, effective_schema(connection, schema))),
        writes=False,
    )
    return missing


@checked
def upgrade_script(dialect: str = "postgresql", to: str = "head", *, schema: str | None = None) -> str:
    """The SQL that brings a database without our schema to a version, for a person to run.

    On PostgreSQL the script also adopts a `claude_session_entries` that another store has filled.
    """
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    return chain.script(dialect, to, schema)


@checked
def prepare(bind: Engine | str | URL, *, schema: str | None = None) -> None:
    """Do the long part of adopting a big `claude_session_entries` beforehand, while its writers go on.

    Adds the columns, fills NULL subpaths in batches and builds the indexes with CREATE INDEX CONCURRENTLY,
    so that the upgrade has no more than a scan of the table to do. Never needed, and does nothing where there
    is nothing to adopt. Can be interrupted and called again. Waits for transactions that are older than it
    is. PostgreSQL only; other databases are left alone. Raises SessionStoreError.
    """
    from boocode_sessions.migrations import adopting  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated("prepare the table for its adoption"):
        adopting.prepare(engine, schema)


@checked
def protect_tenants(
    bind: Engine | Connection | str | URL, *, role: str | None = None, schema: str | None = None
) -> None:
    """Have PostgreSQL itself keep tenants apart: whoever does not say for which one it works sees no row.

    By row-level security, forced for the tables' owner too; superusers and roles with BYPASSRLS see all.
    `role`: who may see the rows of a tenant that it names; by default everybody. See docs/many-users.md.
    Waits for transactions under way. PostgreSQL only. Raises SessionStoreError, on another database
    UnsupportedBindError.
    """
    from boocode_sessions.migrations import tenants  # noqa: PLC0415 - imports Alembic

    _over(bind, "protect the tenants", lambda connection: tenants.protect(connection, schema, role))


@checked
def unprotect_tenants(bind: Engine | Connection | str | URL, *, schema: str | None = None) -> None:
    """Take back `protect_tenants`. Raises SessionStoreError."""
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
    """Spread the tables over the servers of a Citus cluster, each project's rows on one of them.

    What is done already is left as it is: a call that was interrupted can be made again. Later upgrades run
    on a distributed database as on any other. See docs/past-one-machine.md.

    Args:
        bind: An Engine over the cluster's coordinator, or its URL.
        shard_count: How many parts the projects are spread over: the most servers there will ever be, times
            two or more.
        online: Copy while writers go on, in several transactions. It needs `wal_level = logical`. Otherwise
            all is one transaction, which writers wait for.
        schema: Where the tables are, when the connection's search path does not lead there.
        progress: Is told of each step that is done.

    Raises:
        UnsupportedBindError: The server has no Citus; the text says what to install.
        SessionStoreError: The schema is not at the version needed, or the database failed.
    """
    from boocode_sessions.migrations import distributing  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated("distribute the tables"):
        distributing.distribute(engine, schema, shard_count, progress, online=online)


def _over(
    bind: Engine | Connection | str | URL,
    operation: str,
    run: Callable[[Connection], None],
    *,
    writes: bool = True,
) -> None:
    if isinstance(bind, Connection):
        check_dialect(bind.dialect.name)
        with fetched_at_once(bind):
            run(bind)
        return
    from boocode_sessions.migrations.locking import own_transaction  # noqa: PLC0415 - imports Alembic

    with _engine(bind) as engine, _translated(operation):
        if writes:
            with own_transaction(engine) as connection:
                run(connection)
        else:
            with connected(engine) as connection:
                run(connection)


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
        # Chained and quoted, other than elsewhere: no statement of a migration carries transcript content.
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
"""What the server says too where the user may not use the schema that the search path leads to."""
_ADVICE = (
    "; run it as a role that owns the tables that are there, and has CREATE and USAGE on the schema, "
    "or CREATE on the database where the schema is missing"
)
_WHICH_SCHEMA = "; if it has, its search_path names no schema that is there: set it, or name the schema"
