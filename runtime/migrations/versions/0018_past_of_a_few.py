"""Subscribers that resume find their own events, and the catalogue's, by indexes, without reading everybody's orders.
Placing an order writes to none of these indexes."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX events_of_accounts ON events (subject, seq) WHERE type LIKE 'account.%'")
    op.execute("CREATE INDEX events_of_sessions ON events ((data->>'account_id'), seq) WHERE type LIKE 'session.%'")
    op.execute("CREATE INDEX events_of_commands ON events (actor, seq) WHERE type LIKE 'command.%'")
    op.execute(
        "CREATE INDEX events_of_catalogue ON events (seq) WHERE (type LIKE 'product.%' OR type LIKE 'category.%')"
    )
