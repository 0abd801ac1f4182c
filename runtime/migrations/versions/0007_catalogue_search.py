"""Finding products: full text with weights, trigrams for typos, and the orders in which the catalogue is listed."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    # A word of the name weighs more than one of the description. What is not English is found, too: its words are cut
    # to the same stems on both sides.
    op.execute(
        """
        ALTER TABLE products ADD COLUMN search tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('english', description), 'D')
        ) STORED
        """
    )
    # What was written lately lies in a list that every search reads to its end; so that list is kept short (KiB).
    op.execute("CREATE INDEX products_search ON products USING gin (search) WITH (gin_pending_list_limit = 256)")
    op.execute(
        "CREATE INDEX products_name_trigrams ON products USING gin (name gin_trgm_ops)"
        " WITH (gin_pending_list_limit = 256)"
    )
    op.execute("CREATE INDEX products_newest ON products (status, created_at, id)")
    op.execute("CREATE INDEX products_by_name ON products (status, lower(name), id)")
    op.execute("CREATE INDEX products_category_id_idx ON products (category_id)")
    op.execute("CREATE INDEX variants_by_price ON variants (price_minor, product_id) WHERE active")
    op.execute("CREATE INDEX variants_barcode ON variants (barcode) WHERE barcode IS NOT NULL")
