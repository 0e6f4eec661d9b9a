"""The application's env.py. Only `include_name` is there for boocode-sessions."""

from alembic import context
from sqlalchemy import NullPool, create_engine

from boocode_sessions import migrations
from host_app import database
from host_app.models import Base

if context.is_offline_mode():
    context.configure(url=database.url(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(database.url(), poolclass=NullPool).connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, include_name=migrations.ignore_owned()
        )
        with context.begin_transaction():
            context.run_migrations()
