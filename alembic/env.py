"""A thin driver for development: everything is in `boocode_sessions.migrations`."""

from alembic import context
from boocode_sessions.migrations.run import run

run(context)
