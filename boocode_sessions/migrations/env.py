"""Alembic's environment: run by every command over our own chain."""

from alembic import context
from boocode_sessions.migrations.run import run

run(context)
