"""Makes the migrations of a database run one at a time, each in a transaction."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.schema import CreateSchema

from boocode_sessions._core.transactions import connected
from boocode_sessions.engine import LOCK_SECONDS
from boocode_sessions.errors import SchemaError

SQLITE_SECONDS = 60
"""How long a migration waits for other writers of a SQLite file. A host's engine waits 5 s by default, but
several migrations take longer on a slow disk."""

_LOCK = 0x626F6F5F73657373
"""The number of our migrations' advisory lock in PostgreSQL: "boo_sess" in ASCII."""


@contextmanager
def own_transaction(engine: Engine) -> Generator[Connection]:
    """Run a transaction for migrations. It is committed at the end, and rolled back after an exception."""
    with connected(engine) as connection:
        if connection.dialect.name == "postgresql":
            # A stricter level would read the version as of before the wait for the lock.
            connection.execution_options(isolation_level="READ COMMITTED")
        with _with_longer_timeout(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                # Our engines have limits that suit appends, but not the building of an index.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                lock_migrations(connection)
                # Everybody else waits behind an ALTER TABLE that waits for its lock.
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            yield connection


def lock_migrations(connection: Connection) -> None:
    """Wait until no other migration runs in this database, and make others wait until the commit."""
    if connection.dialect.name == "postgresql":
        if getattr(connection.connection.dbapi_connection, "autocommit", False) is True:
            raise SchemaError("a migration needs a transaction, and the connection is in AUTOCOMMIT")
        # The lock belongs to the transaction: a session's lock could get lost, or stay, behind PgBouncer.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    elif connection.dialect.name == "sqlite":
        if not connection.in_transaction():
            connection.begin()
        driver = connection.connection.driver_connection
        # Python's driver begins no transaction for DDL: a failure would leave half a migration.
        if not getattr(driver, "in_transaction", True):
            with _with_longer_timeout(connection):
                connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _with_longer_timeout(connection: Connection) -> Generator[None]:
    """Make the connection wait longer for the locks of a SQLite file."""
    if connection.dialect.name != "sqlite":
        yield
        return
    cursor = connection.connection.cursor()  # the driver's, because SQLAlchemy would begin a transaction
    try:
        cursor.execute("PRAGMA busy_timeout")
        (before,) = cursor.fetchone() or (0,)
        cursor.execute(f"PRAGMA busy_timeout = {max(before, SQLITE_SECONDS * 1000)}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")
    finally:
        cursor.close()


def make_schema(connection: Connection, schema: str | None) -> None:
    """Create a missing schema. On SQLite a schema is an attached database, which the host has to attach."""
    if schema is None or connection.dialect.name != "postgresql":
        return
    # Look first, because IF NOT EXISTS needs the right to create even if the schema exists.
    known = text("SELECT true FROM pg_catalog.pg_namespace WHERE nspname = :schema")
    if connection.execute(known, {"schema": schema}).first() is None:
        connection.execute(CreateSchema(schema, if_not_exists=True))
