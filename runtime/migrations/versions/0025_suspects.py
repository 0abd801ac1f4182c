"""Rows changed by hand are noted, for the patrol to compare them with the log."""

from alembic import op

from runtime.tables.suspects import watch

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_KEYS = {
    "commands": "id",
    "orders": "id",
    "stock": "sku",
    "categories": "id",
    "products": "id",
    "variants": "sku",
    "accounts": "id",
    "sessions": "id",
    "jobs": "id",
    "webhooks": "id",
}
# Without `last_used_at`, which gateways write.
_COLUMNS_OF_API_KEYS = "id, name, role, scopes, created_by, secret_hash, revoked, development, created_at, updated_at"

# They run as whoever owns them: a session that may write the row need not be able to write here.
_FUNCTIONS = """
CREATE FUNCTION note_suspect() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF before IS NOT NULL THEN
        INSERT INTO suspects (table_name, key, seq)
        VALUES (TG_TABLE_NAME, before->>TG_ARGV[0], (before->>'seq')::bigint);
    END IF;
    IF after IS NOT NULL AND after->>TG_ARGV[0] IS DISTINCT FROM before->>TG_ARGV[0] THEN
        INSERT INTO suspects (table_name, key, seq)
        VALUES (TG_TABLE_NAME, after->>TG_ARGV[0], (after->>'seq')::bigint);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION note_some_suspects() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO suspects (table_name, key, seq)'
        ' SELECT %L, to_jsonb(t)->>%L, (to_jsonb(t)->>''seq'')::bigint FROM %I.%I t LIMIT 20',
        TG_TABLE_NAME, TG_ARGV[0], TG_TABLE_SCHEMA, TG_TABLE_NAME
    );
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE suspects (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            table_name text NOT NULL,
            key text NOT NULL,
            seq bigint,
            by_hand boolean NOT NULL DEFAULT true,
            noted_at timestamptz NOT NULL DEFAULT now(),
            differs_since timestamptz
        )
        """
    )
    op.execute("CREATE INDEX suspects_new ON suspects (id) WHERE differs_since IS NULL")
    op.execute("CREATE INDEX suspects_different ON suspects (table_name, key) WHERE differs_since IS NOT NULL")
    for function in _FUNCTIONS.strip().split("\n\n"):
        op.execute(function)
    for table, key in _KEYS.items():
        for statement in watch(table, key):
            op.execute(statement)
    # To these, batches add the most rows: the condition alone would cost them too much. An event that was added by hand
    # has no place in the log.
    for table, key in (("events", "seq"), ("order_lines", "order_id")):
        for statement in watch(table, key, inserts=False):
            op.execute(statement)
    for statement in watch("api_keys", "id", columns=_COLUMNS_OF_API_KEYS):
        op.execute(statement)
