"""Webhooks: the endpoints, and the log of what was delivered to them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE webhooks (
            id uuid NOT NULL CONSTRAINT webhooks_pkey PRIMARY KEY,
            url text NOT NULL,
            event_types text[] NOT NULL,
            description text NOT NULL,
            status text NOT NULL,
            disabled_reason text,
            secret text,
            previous_secret text,
            previous_secret_until timestamptz,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX webhooks_status_idx ON webhooks (status)")
    op.execute(
        """
        CREATE TABLE webhook_deliveries (
            webhook_id uuid NOT NULL,
            id bigint GENERATED ALWAYS AS IDENTITY,
            seq bigint NOT NULL,
            event_type text NOT NULL,
            attempt integer NOT NULL,
            delivered boolean NOT NULL,
            status smallint,
            error text,
            duration_ms integer NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (webhook_id, id)
        )
        """
    )
    op.execute("CREATE INDEX webhook_deliveries_webhook_id_seq_idx ON webhook_deliveries (webhook_id, seq)")
