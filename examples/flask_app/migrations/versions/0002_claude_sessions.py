"""claude sessions 0001"""

from boocode_sessions import migrations

revision = "0002_claude_sessions"
down_revision = "0001_chats"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.host.upgrade(to="0001")


def downgrade() -> None:
    migrations.host.downgrade(to="base")
