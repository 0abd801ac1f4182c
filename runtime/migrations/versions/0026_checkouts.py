"""Checkouts."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE checkouts (
            id uuid NOT NULL CONSTRAINT checkouts_pkey PRIMARY KEY,
            customer_id text NOT NULL,
            status text NOT NULL,
            currency text,
            lines jsonb NOT NULL,
            email text,
            address text,
            billing_address text,
            method_id uuid,
            codes text[] NOT NULL,
            note text,
            order_id uuid,
            quote jsonb,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX checkouts_customer_id_idx ON checkouts (customer_id)")
    op.execute("CREATE UNIQUE INDEX checkouts_order_id_key ON checkouts (order_id) WHERE order_id IS NOT NULL")
    op.execute("CREATE INDEX checkouts_open ON checkouts (updated_at) WHERE status = 'open'")
    for statement in watch("checkouts", "id"):
        op.execute(statement)
