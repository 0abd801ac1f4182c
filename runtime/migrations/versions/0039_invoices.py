"""Invoices and credit notes."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE invoices (
            id text NOT NULL CONSTRAINT invoices_pkey PRIMARY KEY,
            order_id uuid NOT NULL,
            customer_id text NOT NULL,
            kind text NOT NULL,
            currency text NOT NULL,
            total_minor bigint NOT NULL,
            seller jsonb NOT NULL,
            lines jsonb NOT NULL,
            sums jsonb NOT NULL,
            taxes jsonb NOT NULL,
            number text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX invoices_order_id_idx ON invoices (order_id)")
    op.execute("CREATE UNIQUE INDEX invoices_number ON invoices (number)")
    for statement in watch("invoices", "id"):
        op.execute(statement)
