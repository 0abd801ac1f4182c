"""Payments record when their order was cancelled or expired, so that those that still hold money are found by an index.

No earlier release has payments, so there are no rows to fill in.
"""

from alembic import op

revision = "0047"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN order_ended_at timestamptz")
    # A connection plans the update once, perhaps while there are few payments; the plan must suit many as well.
    op.execute(
        """
        CREATE FUNCTION tell_payments_of_order() RETURNS trigger LANGUAGE plpgsql
            SET search_path FROM CURRENT SET enable_seqscan = off AS $$
        BEGIN
            UPDATE payments
            SET order_ended_at = CASE WHEN NEW.status IN ('cancelled', 'expired') THEN NEW.updated_at END
            WHERE order_id = NEW.id;
            RETURN NULL;
        END $$
        """
    )
    # An order that is cancelled in the batch that places it is never updated.
    op.execute(
        """
        CREATE TRIGGER orders_made_ended AFTER INSERT ON orders FOR EACH ROW
        WHEN (NEW.status IN ('cancelled', 'expired')) EXECUTE FUNCTION tell_payments_of_order()
        """
    )
    op.execute(
        """
        CREATE TRIGGER orders_ended AFTER UPDATE ON orders FOR EACH ROW
        WHEN ((NEW.status IN ('cancelled', 'expired')) <> (OLD.status IN ('cancelled', 'expired')))
        EXECUTE FUNCTION tell_payments_of_order()
        """
    )
    op.execute(
        """
        UPDATE payments SET order_ended_at = orders.updated_at FROM orders
        WHERE orders.id = payments.order_id AND orders.status IN ('cancelled', 'expired')
        """
    )
    op.execute(
        """
        CREATE INDEX payments_orphaned ON payments (created_at, id) WHERE order_ended_at IS NOT NULL
            AND (charged_minor > refunded_minor + refund_pending_minor
                OR authorized_minor > charged_minor + cancelled_minor + cancel_pending_minor)
        """
    )
