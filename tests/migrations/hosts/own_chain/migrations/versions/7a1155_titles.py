"""chats have titles: what follows ours in the chain still works"""

import sqlalchemy as sa
from alembic import op

revision = "7a1155"
down_revision = "5e5510"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chats", sa.Column("title", sa.String()))


def downgrade() -> None:
    op.drop_column("chats", "title")
