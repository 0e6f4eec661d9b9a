"""The env.py of an ordinary application."""

from typing import Any

from alembic import context
from sqlalchemy import NullPool, create_engine

from boocode_sessions import migrations
from tests.migrations.hosts.own_chain.models import Base

url = context.config.get_main_option("sqlalchemy.url", "")
options: dict[str, Any] = {"target_metadata": Base.metadata, "include_name": migrations.ignore_owned()}

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
