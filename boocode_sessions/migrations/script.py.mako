"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

import sqlalchemy as sa
${imports if imports else ""}
from alembic import op
from boocode_sessions.migrations.steps import step
from boocode_sessions.migrations.target import schema

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


@step(before=${repr(down_revision)}, after=${repr(up_revision)})
def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


@step(before=${repr(up_revision)}, after=${repr(down_revision)})
def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
