"""Accounts say whether their address is confirmed. Existing ones count as confirmed."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN confirmed boolean NOT NULL DEFAULT true")
