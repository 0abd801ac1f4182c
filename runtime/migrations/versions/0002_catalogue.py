"""The catalogue: categories, products and their variants; order history; the rest of an order's life.

What an earlier catalogue held becomes a product of one variant each, by events like any others, so that the log tells
the whole story.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE products RENAME TO articles")
    op.execute("ALTER INDEX products_pkey RENAME TO articles_pkey")
    op.execute(
        """
        CREATE TABLE categories (
            id uuid NOT NULL CONSTRAINT categories_pkey PRIMARY KEY,
            slug text NOT NULL CONSTRAINT categories_slug_key UNIQUE,
            name text NOT NULL,
            parent_id uuid CONSTRAINT categories_parent_id_fkey REFERENCES categories,
            position integer NOT NULL,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE products (
            id uuid NOT NULL CONSTRAINT products_pkey PRIMARY KEY,
            slug text NOT NULL CONSTRAINT products_slug_key UNIQUE,
            name text NOT NULL,
            description text NOT NULL,
            category_id uuid CONSTRAINT products_category_id_fkey REFERENCES categories,
            status text NOT NULL,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE variants (
            sku text NOT NULL CONSTRAINT variants_pkey PRIMARY KEY,
            product_id uuid NOT NULL CONSTRAINT variants_product_id_fkey REFERENCES products,
            title text NOT NULL,
            price_minor bigint NOT NULL CONSTRAINT variants_price_not_negative CHECK (price_minor >= 0),
            currency text NOT NULL,
            compare_at_minor bigint,
            weight_grams integer,
            barcode text,
            attributes jsonb NOT NULL,
            active boolean NOT NULL,
            on_sale boolean NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX variants_product_id_idx ON variants (product_id)")
    op.execute("ALTER TABLE event_counter ADD COLUMN prices_seq bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE orders ADD COLUMN email text")
    op.execute(
        "CREATE INDEX events_order_moves ON events (subject, seq) WHERE type IN"
        " ('order.confirmed', 'order.fulfilled', 'order.cancelled', 'order.expired')"
    )
    op.execute(
        "CREATE INDEX events_occurred_at ON events USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize)"
    )
    _tell_of_what_was_there()
    op.execute("DROP TABLE articles")


def _tell_of_what_was_there() -> None:
    op.execute(
        """
        CREATE TEMPORARY TABLE moved ON COMMIT DROP AS
        SELECT sku, name, price_minor, currency, gen_random_uuid() AS product_id, gen_random_uuid() AS command_id,
            plain || CASE WHEN twin > 1 THEN '-' || left(md5(sku), 12) ELSE '' END AS slug,
            (SELECT last_seq FROM event_counter) + 2 * row_number() OVER (ORDER BY sku) - 1 AS seq
        FROM (
            SELECT *, row_number() OVER (PARTITION BY plain ORDER BY sku) AS twin
            FROM (
                SELECT sku, left(rpad(name, greatest(2, length(name)), '.'), 255) AS name, price_minor, currency,
                    trim(BOTH '-' FROM regexp_replace(lower(sku), '[^a-z0-9]+', '-', 'g')) AS plain
                FROM articles
            ) AS named
        ) AS numbered
        """
    )
    op.execute(
        "INSERT INTO products"
        " SELECT product_id, slug, name, '', NULL, 'active', 2, now(), now() FROM moved ORDER BY sku"
    )
    op.execute(
        """
        INSERT INTO variants
        SELECT sku, product_id, '', price_minor, currency, NULL, NULL, NULL, '{}', true, true, now(), now() FROM moved
        """
    )
    op.execute(
        """
        INSERT INTO events
        SELECT seq, 'product.created', product_id::text, command_id, 'migration', now(), json_build_object(
            'product_id', product_id, 'slug', slug, 'name', name, 'description', '', 'category_id', NULL,
            'status', 'active') FROM moved
        UNION ALL
        SELECT seq + 1, 'product.variant_added', product_id::text, command_id, 'migration', now(), json_build_object(
            'product_id', product_id, 'sku', sku, 'title', '', 'price_minor', price_minor, 'currency', currency,
            'compare_at_minor', NULL, 'weight_grams', NULL, 'barcode', NULL, 'attributes', '{}'::json, 'active', true,
            'product_status', 'active')
        FROM moved
        """
    )
    op.execute(
        """
        INSERT INTO commands (id, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq, event_count,
            request)
        SELECT command_id, 'CreateProduct', 'migration', now(), now(), 0, '0-0', 'applied', seq, 2, '' FROM moved
        """
    )
    op.execute("UPDATE event_counter SET last_seq = last_seq + 2 * (SELECT count(*) FROM moved)")
