"""Checks that a database can keep our promises and has the schema that this version needs."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, PoolProxiedConnection, inspect, text
from sqlalchemy.util import await_only

from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.sql.types import WORD_INDEX
from boocode_sessions._core.statements.read import select_versions
from boocode_sessions.errors import (
    EncodingError,
    SchemaMissingError,
    SchemaNewerError,
    SchemaOutdatedError,
    UnsupportedBindError,
)
from boocode_sessions.models import SCHEMA_VERSION, VERSION_TABLE, Base


def check_transactional(connection: Connection) -> None:
    """Raise UnsupportedBindError for a connection that runs no real transactions."""
    options = connection.get_execution_options()
    autocommit = options.get("isolation_level") == "AUTOCOMMIT"
    if not autocommit:
        if not connection.in_transaction():
            connection.begin()
        pooled = connection.connection
        driver: Any = pooled.driver_connection
        if connection.dialect.name == "sqlite":
            # Our own engines begin transactions themselves, with the driver in this mode.
            begins = getattr(driver, "isolation_level", "") is not None or driver.in_transaction is not False
            autocommit = not begins or _drivers_autocommit(pooled) is True
        else:
            autocommit = getattr(pooled.dbapi_connection, "autocommit", False) is True
    if autocommit:
        raise UnsupportedBindError(
            "the bind is at the isolation level AUTOCOMMIT, where half of an append could be stored: "
            "give an engine or a connection at another level, such as engine.execution_options("
            'isolation_level="READ COMMITTED") on PostgreSQL'
        )


def _drivers_autocommit(pooled: PoolProxiedConnection) -> object:
    """Return the `autocommit` attribute of SQLite's driver, which exists from Python 3.12 on."""
    driver: Any = pooled.driver_connection
    if not hasattr(driver, "_execute"):
        return getattr(driver, "autocommit", None)
    if _DRIVERS_AUTOCOMMIT not in pooled.info:  # only aiosqlite's thread may ask for it
        own: Any = getattr(driver, "_conn", None)
        asked = driver._execute(getattr, own, "autocommit", None)  # noqa: SLF001 - aiosqlite has no other way
        pooled.info[_DRIVERS_AUTOCOMMIT] = await_only(asked)
    return pooled.info[_DRIVERS_AUTOCOMMIT]


_DRIVERS_AUTOCOMMIT = "boocode_sessions_drivers_autocommit"


def check_encoding(connection: Connection) -> None:
    """Raise EncodingError for a PostgreSQL database or connection that can't carry every text."""
    if connection.dialect.name != "postgresql":
        return
    asked = "SELECT current_setting('server_encoding'), current_setting('client_encoding')"
    server, client = connection.execute(text(asked)).one()
    if server != "UTF8":
        raise EncodingError(
            f"the database's encoding is {server}, which does not have every character: "
            "use one that was made with ENCODING 'UTF8'"
        )
    _check_client_encoding(client)


def check_connections_encoding(connection: Connection) -> None:
    """Raise EncodingError, at each call, for a connection whose encoding lacks characters.

    A statement, or ALTER ROLE beside a pool that was checked, changes it. The server would then read text in
    another encoding than it was sent in. The driver knows what the server last reported, so this asks nobody.
    """
    driver: Any = connection.connection.driver_connection
    match connection.dialect.driver:
        case "psycopg" | "psycopg_async":
            reported = driver.pgconn.parameter_status(b"client_encoding")
            client = None if reported is None else reported.decode()
        case "psycopg2":
            client = driver.get_parameter_status("client_encoding")
        case "asyncpg":
            # A closed connection has no settings. The call's statement will fail, and tell it.
            settings: Any = None if driver.is_closed() else driver.get_settings()
            client = getattr(settings, "client_encoding", None)
        case "pg8000":
            client = driver._client_encoding  # noqa: SLF001 - there is no public name
        case _:
            return
    if client is not None:  # a pooler need not report it
        _check_client_encoding(client)


def _check_client_encoding(client: str) -> None:
    if client.strip("'").upper().replace("-", "") not in {"UTF8", "UNICODE"}:
        raise EncodingError(
            f"the connection's client_encoding is {client}, which does not have every character: "
            "set it to UTF8, for the engine or for the role"
        )


def check_schema(connection: StoreConnection) -> None:
    """Raise SchemaError if the schema is not the one that this version needs."""
    schema = connection.effective_schema
    where = f"schema {schema!r}" if schema else "the database"
    command = f"boocode-sessions upgrade{f' --schema {schema}' if schema else ''}"
    advice = f"run `{command}` with the URL of this database, or call migrations.upgrade"
    schema_found = found_schema(connection)
    if schema_found is None:
        if connection.dialect == "sqlite" and not connection.connection.execute(_FILE).scalar():
            raise SchemaMissingError(_IN_MEMORY)
        unseen = connection.dialect == "postgresql" and schema is None
        raise SchemaMissingError(f"{where} has no tables of ours: {advice}{_UNSEEN if unseen else ''}")
    if schema_found.version < SCHEMA_VERSION:
        raise SchemaOutdatedError(
            f"{where} is at schema version {schema_found.version}, "
            f"this version of the package needs {SCHEMA_VERSION}: {advice}"
        )
    if not schema_found.is_compatible:
        raise SchemaNewerError(
            f"{where} is at schema version {schema_found.version}, this version of the package knows "
            f"{SCHEMA_VERSION}: upgrade the boocode-sessions package to one that knows "
            f"{schema_found.needed} or later"
        )


_UNSEEN = "; if they are there, grant the user USAGE on their schema, and check the search_path"
_FILE = text("SELECT file FROM pragma_database_list WHERE name = 'main'")
_IN_MEMORY = (
    "the database is in memory and has no tables of ours: call migrations.upgrade(engine). Each thread or "
    "connection has a database of its own there, unless the engine is made with poolclass=StaticPool and "
    'connect_args={"check_same_thread": False}'
)


class FoundSchema(NamedTuple):
    """The version of the schema that a database has."""

    version: str
    needed: str
    """The oldest schema version that a package must know to work with it."""

    @property
    def is_compatible(self) -> bool:
        """True if this version of the package works with it."""
        return self.needed <= SCHEMA_VERSION <= self.version


def found_schema(connection: StoreConnection) -> FoundSchema | None:
    """Return the schema that a database has; None if our tables aren't there."""
    inspector = inspect(connection.connection)
    schema = connection.effective_schema
    if connection.dialect == "sqlite" and schema and schema not in inspector.get_schema_names():
        raise SchemaMissingError(
            f"SQLite has no schema {schema!r}: give none, or the name of a database that is attached"
        )
    if not inspector.has_table(VERSION_TABLE, schema=schema):
        return None
    rows = [(version, said or "") for version, said in connection.select(select_versions())]
    if not rows:
        return None
    version, said = max(rows)
    needed, _, last = said.partition("..")
    # A range that was stored for another version says nothing about this one.
    return FoundSchema(version, needed if last == version else version)


def missing_parts(connection: StoreConnection, *, indexes: bool = False) -> list[str]:
    """Return our tables and columns that a schema lacks, and with `indexes` our indexes too."""
    inspector = inspect(connection.connection)
    schema = connection.effective_schema
    missing: list[str] = []
    for table in Base.metadata.sorted_tables:
        if not inspector.has_table(table.name, schema=schema):
            missing.append(table.name)
            continue
        there = {column["name"] for column in inspector.get_columns(table.name, schema=schema)}
        missing += [f"{table.name}.{name}" for name in table.columns.keys() if name not in there]  # noqa: SIM118
        if indexes:
            known = {index["name"] for index in inspector.get_indexes(table.name, schema=schema)}
            missing += sorted({str(index.name) for index in table.indexes} - known)
    if indexes and connection.dialect == "sqlite" and not inspector.has_table(WORD_INDEX, schema=schema):
        missing.append(WORD_INDEX)
    return missing


def check_columns(connection: StoreConnection) -> None:
    """Raise SchemaMissingError if a schema of the right version lacks one of our tables or columns."""
    if missing := missing_parts(connection):
        raise SchemaMissingError(
            f"the schema is at version {SCHEMA_VERSION}, but lacks {', '.join(missing)}: "
            "restore it from a backup, and check the schema and the search_path"
        )
