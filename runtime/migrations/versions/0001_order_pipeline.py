"""The order pipeline: catalogue, stock, orders, the event log, commands, mailboxes, dead letters."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE products (
            sku text NOT NULL CONSTRAINT products_pkey PRIMARY KEY,
            name text NOT NULL,
            price_minor bigint NOT NULL CONSTRAINT products_price_not_negative CHECK (price_minor >= 0),
            currency text NOT NULL
        )
        """
    )
    # Half of each page stays free so that an update finds room beside its row and touches no index (HOT).
    op.execute(
        """
        CREATE TABLE stock (
            sku text NOT NULL CONSTRAINT stock_pkey PRIMARY KEY,
            on_hand integer NOT NULL DEFAULT 0,
            reserved integer NOT NULL DEFAULT 0,
            CONSTRAINT stock_never_oversold CHECK (0 <= reserved AND reserved <= on_hand)
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0)
        """
    )
    op.execute(
        """
        CREATE TABLE orders (
            id uuid NOT NULL CONSTRAINT orders_pkey PRIMARY KEY,
            customer_id text NOT NULL,
            status text NOT NULL,
            currency text NOT NULL,
            total_minor bigint NOT NULL,
            placed_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        ) WITH (fillfactor = 90)
        """
    )
    op.execute("CREATE INDEX orders_customer_id_id_idx ON orders (customer_id, id)")
    op.execute(
        """
        CREATE TABLE order_lines (
            order_id uuid NOT NULL,
            sku text NOT NULL,
            quantity integer NOT NULL,
            unit_price_minor bigint NOT NULL,
            CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, sku)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE events (
            seq bigint NOT NULL CONSTRAINT events_pkey PRIMARY KEY,
            type text NOT NULL,
            subject text NOT NULL,
            command_id uuid NOT NULL,
            actor text NOT NULL,
            occurred_at timestamptz NOT NULL,
            data json NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE event_counter (
            only_row smallint NOT NULL CONSTRAINT event_counter_pkey PRIMARY KEY
                CONSTRAINT event_counter_one_row CHECK (only_row = 1),
            last_seq bigint NOT NULL
        ) WITH (fillfactor = 10)
        """
    )
    op.execute("INSERT INTO event_counter VALUES (1, 0)")
    op.execute(
        """
        CREATE TABLE commands (
            id uuid NOT NULL CONSTRAINT commands_pkey PRIMARY KEY,
            type text NOT NULL,
            principal text NOT NULL,
            accepted_at timestamptz NOT NULL,
            applied_at timestamptz NOT NULL,
            mailbox smallint NOT NULL,
            entry_id text NOT NULL,
            status text NOT NULL,
            seq bigint NOT NULL,
            event_count smallint NOT NULL DEFAULT 1,
            idempotency_key text,
            fingerprint bytea,
            request bytea NOT NULL
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX commands_idempotency_key ON commands (principal, idempotency_key)"
        " WHERE idempotency_key IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE mailboxes (
            mailbox smallint NOT NULL CONSTRAINT mailboxes_pkey PRIMARY KEY,
            position text NOT NULL DEFAULT '0-0',
            entries bigint NOT NULL DEFAULT 0,
            rejoined integer NOT NULL DEFAULT 0
        ) WITH (fillfactor = 10)
        """
    )
    op.execute(
        """
        CREATE TABLE dead_letters (
            mailbox smallint NOT NULL,
            entry_id text NOT NULL,
            command_id uuid,
            code text NOT NULL,
            detail text NOT NULL,
            entry bytea NOT NULL,
            failed_at timestamptz NOT NULL,
            CONSTRAINT dead_letters_pkey PRIMARY KEY (mailbox, entry_id)
        )
        """
    )
