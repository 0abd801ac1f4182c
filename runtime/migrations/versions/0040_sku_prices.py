"""Prices of SKUs on price lists, and in other currencies."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE sku_prices (
            sku text NOT NULL CONSTRAINT sku_prices_pkey PRIMARY KEY
                CONSTRAINT sku_prices_sku_fkey REFERENCES variants (sku),
            product_id uuid NOT NULL,
            prices jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX sku_prices_lists ON sku_prices USING gin (prices jsonb_path_ops)")
    for statement in watch("sku_prices", "sku"):
        op.execute(statement)
