"""Customers' groups, tax ids and tax exemptions."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE customers (
            id uuid NOT NULL CONSTRAINT customers_pkey PRIMARY KEY
                CONSTRAINT customers_id_fkey REFERENCES accounts (id),
            groups text[] NOT NULL,
            tax_id text,
            tax_exempt boolean NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    for statement in watch("customers", "id"):
        op.execute(statement)
