"""Runs Alembic's commands over our chain of versions."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.schema_check import check_encoding, found_schema, missing_parts
from boocode_sessions.engine import check_dialect
from boocode_sessions.errors import SchemaError, SchemaNewerError
from boocode_sessions.migrations.target import effective_schema
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, ClaudeSession

_HERE = Path(__file__).parent

_one_command = threading.RLock()
"""Makes threads take turns, because Alembic keeps the running migration in module globals."""


def config() -> Config:
    """Return Alembic's configuration for our chain."""
    made = Config()
    made.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(connection: Connection, to: str, schema: str | None) -> None:
    """Run `alembic upgrade` on a connection. The caller owns the transaction. Raises EncodingError."""
    _check_upwards(to)
    check_dialect(connection.dialect.name)
    check_encoding(connection)
    where = effective_schema(connection, schema)
    found = version(connection, where)
    if found is None and inspect(connection).has_table(ClaudeSession.__tablename__, schema=where):
        _check_whole(StoreConnection(connection, where))
        _run(command.stamp, connection, "head", schema)
    if found is not None and found > versions()[-1].revision:
        return  # a newer version of the package made the schema, and this one works with it
    _run(command.upgrade, connection, to, schema)


def _check_whole(connection: StoreConnection) -> None:
    """Check tables without a version, as from a partial dump. Raises SchemaError if something is missing."""
    if missing := missing_parts(connection, indexes=True):
        raise SchemaError(
            f"the tables are there without {VERSION_TABLE}, and lack {', '.join(missing)}: "
            "restore all of the dump, indexes included, then upgrade again"
        )


def downgrade(connection: Connection, to: str, schema: str | None) -> None:
    """Run `alembic downgrade` on a connection. The caller owns the transaction."""
    _run(command.downgrade, connection, to, schema)


def script(dialect: str, to: str, schema: str | None) -> str:
    """Return what `alembic upgrade --sql` prints. `dialect` may include a driver's name."""
    _check_upwards(to)
    dialect = dialect.partition("+")[0]
    check_dialect(dialect)
    made = config()
    made.output_buffer = output = StringIO()
    made.attributes.update(dialect=dialect, schema=schema)
    with _one_command, _known(to):
        command.upgrade(made, to, sql=True)
    return output.getvalue()


def version(connection: Connection, schema: str | None, *, downwards: bool = False) -> str | None:
    """Return the version of the schema, or None without our tables.

    Raises SchemaNewerError if this package can't work with the version. `downwards` is for a downgrade, for
    which the package has to know the version.
    """
    found = found_schema(StoreConnection(connection, schema))
    if found is None:
        return None
    known = found.version in {known.revision for known in versions()}
    if not known and (downwards or not found.is_compatible):
        raise SchemaNewerError(
            f"the schema is at version {found.version}, this version of the package knows {SCHEMA_VERSION}: "
            f"upgrade the boocode-sessions package to one that knows {found.needed} or later"
        )
    return found.version


def compatible_range(to: str) -> str:
    """Return which versions of the package work with a schema version: see `models.COMPATIBLE_RANGE`."""
    first = to
    for script in versions():
        if script.revision <= to and not getattr(script.module, "additive", False):
            first = script.revision
    return f"{first}..{to}"


def versions() -> list[Script]:
    """Return every version, oldest first."""
    return list(ScriptDirectory.from_config(config()).walk_revisions())[::-1]


def pending(connection: Connection, schema: str | None) -> list[str]:
    """Return the versions after the schema's own, oldest first."""
    found = version(connection, schema) or ""
    return [script.revision for script in versions() if script.revision > found]


def running() -> MigrationContext | None:
    """Return Alembic's context inside a revision of any chain, or None if no migration runs."""
    try:
        return op.get_context()
    except (NameError, AttributeError):  # before the first migration of this process, and after one
        return None


def _run(run: Callable[[Config, str], None], connection: Connection, to: str, schema: str | None) -> None:
    made = config()
    made.attributes.update(connection=connection, schema=schema)
    with _one_command:
        context = running()
        # A failed migration leaves its context behind, so only a context of this connection counts.
        if context is not None and context.connection is connection and id(context) not in _failed:
            raise SchemaError("inside a revision call migrations.host.upgrade or migrations.host.downgrade")
        version(connection, effective_schema(connection, schema), downwards=run is command.downgrade)
        try:
            with _known(to):
                run(made, to)
        except BaseException:
            _failed[:] = [id(running())]
            raise


_failed: list[int] = []


def _check_upwards(to: str) -> None:
    """Raise SchemaError for a target that no upgrade leads to: Alembic would silently do nothing."""
    if to in {"", "base"}:
        raise SchemaError(f"an upgrade does not lead to {to!r}: migrations.downgrade(bind) drops the tables")


@contextmanager
def _known(to: str) -> Generator[None]:
    try:
        yield
    except CommandError as error:
        known = ", ".join(known.revision for known in versions())
        raise SchemaError(f"no way to the version {to!r} ({known} are known): {error}") from error
