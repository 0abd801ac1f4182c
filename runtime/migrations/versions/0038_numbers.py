"""Numbers of orders, invoices and credit notes. Existing orders have none."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN number text")
    op.execute(
        """
        ALTER TABLE event_counter ADD COLUMN orders bigint NOT NULL DEFAULT 0,
            ADD COLUMN invoices bigint NOT NULL DEFAULT 0, ADD COLUMN credit_notes bigint NOT NULL DEFAULT 0
        """
    )
    op.execute("ALTER TABLE fold_position ADD COLUMN numbers text NOT NULL DEFAULT '{}'")
