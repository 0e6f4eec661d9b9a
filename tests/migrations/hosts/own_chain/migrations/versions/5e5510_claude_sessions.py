"""claude sessions"""

from boocode_sessions import migrations

revision = "5e5510"
down_revision = "c0ffee"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.host.upgrade(to="0001")


def downgrade() -> None:
    migrations.host.downgrade(to="base")
