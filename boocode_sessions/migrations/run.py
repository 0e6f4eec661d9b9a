"""What Alembic's environment runs: our chain, over our own version table.

The database comes from whoever made the Config (`attributes["connection"]`), from `-x url=...`, or from
BOOCODE_SESSIONS_URL; the schema likewise (`attributes["schema"]`, `-x schema=...`, BOOCODE_SESSIONS_SCHEMA).
"""

import os
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection

from boocode_sessions.engine import create_engine
from boocode_sessions.errors import SchemaError
from boocode_sessions.migrations.target import targeting
from boocode_sessions.models import VERSION_TABLE, Base

URL_VARIABLE = "BOOCODE_SESSIONS_URL"
SCHEMA_VARIABLE = "BOOCODE_SESSIONS_SCHEMA"


def run(context: EnvironmentContext) -> None:
    """Run what the command asked for."""
    arguments = context.get_x_argument(as_dictionary=True)
    attributes = context.config.attributes
    schema = attributes.get("schema") or arguments.get("schema") or os.environ.get(SCHEMA_VARIABLE) or None
    url = arguments.get("url") or os.environ.get(URL_VARIABLE) or ""
    connection = attributes.get("connection")
    if connection is None and not url:
        raise SchemaError(f"which database? Set {URL_VARIABLE}, or give -x url=postgresql+psycopg://...")
    if context.is_offline_mode():
        _run(context, schema, url=url, literal_binds=True)
    elif isinstance(connection, Connection):
        _run(context, schema, connection=connection)
    else:
        engine = create_engine(url)
        try:
            with engine.connect() as own:
                _run(context, schema, connection=own)
                own.commit()
        finally:
            engine.dispose()


def _run(context: EnvironmentContext, schema: str | None, **where: Any) -> None:  # noqa: ANN401 - Alembic's options
    context.configure(
        **where,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        compare_server_default=True,
        render_as_batch=False,
    )
    with targeting(schema), context.begin_transaction():
        context.run_migrations()
