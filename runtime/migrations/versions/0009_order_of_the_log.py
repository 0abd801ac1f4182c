"""Ordered lists follow the log: orders know their seq, and moments never run backwards along it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN placed_seq bigint")
    op.execute(
        """
        UPDATE orders o SET placed_seq = e.seq FROM events e
        WHERE e.type = 'order.placed' AND e.subject = o.id::text
        """
    )
    op.execute("ALTER TABLE orders ALTER COLUMN placed_seq SET NOT NULL")
    op.execute("CREATE UNIQUE INDEX orders_placed_seq ON orders (placed_seq)")
    op.execute("DROP INDEX orders_customer_id_id_idx")
    op.execute("CREATE INDEX orders_customer_id_placed_seq_idx ON orders (customer_id, placed_seq)")
    op.execute(
        """
        ALTER TABLE event_counter
            ADD COLUMN last_at timestamptz NOT NULL DEFAULT 'epoch',
            ADD COLUMN ordered_after bigint NOT NULL DEFAULT 0
        """
    )
    op.execute(
        """
        UPDATE event_counter SET ordered_after = last_seq,
            last_at = coalesce((SELECT max(occurred_at) FROM events), 'epoch')
        """
    )
    op.execute("CREATE INDEX accounts_created_at_id_idx ON accounts (created_at, id)")
    op.execute("DROP INDEX jobs_requested_by_kind_id_idx")
    op.execute("CREATE INDEX jobs_requested_by_kind_created_at_id_idx ON jobs (requested_by, kind, created_at, id)")
