"""The URL that a buyer must visit becomes a secret of the payment, and is no longer in its entries."""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN action_url text")
