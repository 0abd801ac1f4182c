"""Where the buyer has to go is a secret of the payment, and no longer in its entries."""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN action_url text")
