"""Orders are found by their number. A separate migration, so that the index can be built CONCURRENTLY beforehand
(docs/migrations.md)."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Numbers come in the order of the rows: a summary of each few pages finds one, and costs an order nothing.
    op.execute(
        """
        CREATE INDEX IF NOT EXISTS orders_number ON orders USING brin (number)
            WITH (pages_per_range = 32, autosummarize = on)
        """
    )
