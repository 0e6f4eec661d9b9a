"""A thin driver for development: everything is in `boocode_sessions.migrations`."""

from typing import cast

from alembic import context
from alembic.runtime.environment import EnvironmentContext

import boocode_sessions.agents.models  # noqa: F401 - its table belongs to Base.metadata, and to the schema
from boocode_sessions.migrations.run import run

run(cast("EnvironmentContext", context))
