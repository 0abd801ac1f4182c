"""An order's history holds all its events, including those of types added later."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX events_order_moves")
    op.execute(
        "CREATE INDEX events_after_placing ON events (subject, seq)"
        " WHERE type LIKE 'order.%' AND type <> 'order.placed'"
    )
