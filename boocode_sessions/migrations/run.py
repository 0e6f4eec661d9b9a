"""Runs our chain over our own version table, for Alembic's environment.

The database comes from the Config (`attributes["connection"]`), from `-x url=...`, or from
BOOCODE_SESSIONS_URL. The schema comes from `attributes["schema"]`, `-x schema=...` or
BOOCODE_SESSIONS_SCHEMA.
"""

import os
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, make_url, select
from sqlalchemy.schema import CreateSchema, DropTable

from boocode_sessions.engine import create_engine
from boocode_sessions.errors import SchemaError
from boocode_sessions.migrations.autogenerate import has_model
from boocode_sessions.migrations.locking import lock_migrations, make_schema, own_transaction
from boocode_sessions.migrations.steps import mark
from boocode_sessions.migrations.target import effective_schema, targeting
from boocode_sessions.models import VERSION_TABLE, Base

URL_VARIABLE = "BOOCODE_SESSIONS_URL"
SCHEMA_VARIABLE = "BOOCODE_SESSIONS_SCHEMA"


def run(context: EnvironmentContext) -> None:
    """Run the migrations of an Alembic command."""
    arguments = context.get_x_argument(as_dictionary=True)
    attributes = context.config.attributes
    schema = attributes.get("schema") or arguments.get("schema") or os.environ.get(SCHEMA_VARIABLE) or None
    connection = attributes.get("connection")
    if isinstance(connection, Connection):
        lock_migrations(connection)
        _run_online(context, connection, schema)
    elif (dialect := attributes.get("dialect")) is not None:
        _run_offline(context, dialect, schema)
    else:
        url = arguments.get("url") or os.environ.get(URL_VARIABLE)
        if not url:
            raise SchemaError(f"which database? Set {URL_VARIABLE}, or give -x url=postgresql+psycopg://...")
        if context.is_offline_mode():
            _run_offline(context, make_url(url).get_backend_name(), schema)
            return
        engine = create_engine(url)
        try:
            with own_transaction(engine) as own:
                _run_online(context, own, schema)
        finally:
            engine.dispose()


def _run_online(context: EnvironmentContext, connection: Connection, schema: str | None) -> None:
    schema = effective_schema(connection, schema)
    make_schema(connection, schema)
    _configure(context, schema, connection=connection)
    with targeting(schema), context.begin_transaction():
        context.run_migrations()
    _drop_empty_version_table(connection, schema)


def _drop_empty_version_table(connection: Connection, schema: str | None) -> None:
    """Drop the version table after a downgrade to base. Alembic itself keeps it."""
    table = Table(VERSION_TABLE, MetaData(), Column("version_num", String), schema=schema)
    if (
        inspect(connection).has_table(VERSION_TABLE, schema=schema)
        and not connection.execute(select(table.c.version_num).limit(1)).all()
    ):
        connection.execute(DropTable(table))


def _run_offline(context: EnvironmentContext, dialect: str, schema: str | None) -> None:
    _configure(context, schema, dialect_name=dialect, literal_binds=True)
    with targeting(schema), context.begin_transaction():
        if schema and dialect == "postgresql":
            context.execute(CreateSchema(schema, if_not_exists=True))
        context.run_migrations()


def _configure(context: EnvironmentContext, schema: str | None, **where: Any) -> None:  # noqa: ANN401 - Alembic's options
    context.configure(
        **where,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        compare_server_default=True,
        include_object=has_model,
        on_version_apply=mark,
        # SQLite has it too. Alembic distrusts only Python's driver, but `lock_migrations` begins for it.
        transactional_ddl=True,
    )
