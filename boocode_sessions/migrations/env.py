"""Alembic's environment. Every command over our own chain runs it."""

from typing import cast

from alembic import context
from alembic.runtime.environment import EnvironmentContext

from boocode_sessions.migrations.run import run

run(cast("EnvironmentContext", context))
