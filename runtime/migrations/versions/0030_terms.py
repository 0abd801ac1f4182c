"""The shop's terms, and what an order costs besides its lines."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN charges_minor bigint NOT NULL DEFAULT 0, ADD COLUMN checkout_id uuid")
    op.execute(
        """
        CREATE TABLE terms (
            name text NOT NULL CONSTRAINT terms_pkey PRIMARY KEY,
            taxes jsonb,
            method jsonb,
            promotion jsonb,
            price_list jsonb,
            purchase_limit jsonb,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    for statement in watch("terms", "name"):
        op.execute(statement)
