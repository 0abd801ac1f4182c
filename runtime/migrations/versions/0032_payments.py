"""Payments."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE payments (
            id uuid NOT NULL CONSTRAINT payments_pkey PRIMARY KEY,
            order_id uuid NOT NULL,
            customer_id text NOT NULL,
            provider text NOT NULL,
            amount_minor bigint NOT NULL,
            currency text NOT NULL,
            capture text NOT NULL,
            capabilities jsonb NOT NULL,
            entries jsonb NOT NULL,
            provider_reference text,
            status text NOT NULL,
            is_pending boolean NOT NULL,
            authorized_minor bigint NOT NULL,
            authorize_pending_minor bigint NOT NULL,
            charged_minor bigint NOT NULL,
            charge_pending_minor bigint NOT NULL,
            refunded_minor bigint NOT NULL,
            refund_pending_minor bigint NOT NULL,
            cancelled_minor bigint NOT NULL,
            cancel_pending_minor bigint NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX payments_order_id_idx ON payments (order_id)")
    op.execute("CREATE INDEX payments_created ON payments (created_at, id)")
    op.execute("CREATE INDEX payments_pending ON payments (created_at) WHERE is_pending")
    op.execute(
        "CREATE UNIQUE INDEX payments_provider_reference_key ON payments (provider, provider_reference)"
        " WHERE provider_reference IS NOT NULL"
    )
    for statement in watch("payments", "id"):
        op.execute(statement)
