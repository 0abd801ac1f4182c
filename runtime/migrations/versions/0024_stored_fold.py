"""The stored fold: verification continues from it instead of from the log's beginning."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE fold_position (
            only_row smallint PRIMARY KEY CONSTRAINT fold_position_one_row CHECK (only_row = 1),
            seq bigint NOT NULL DEFAULT 0,
            at timestamptz,
            digest bytea NOT NULL DEFAULT '',
            meaning text NOT NULL DEFAULT '',
            balances_seq bigint NOT NULL DEFAULT 0,
            moved_at timestamptz NOT NULL DEFAULT 'epoch'
        ) WITH (fillfactor = 10)
        """
    )
    op.execute("INSERT INTO fold_position (only_row) VALUES (1)")
    op.execute(
        """
        CREATE TABLE folded_orders (
            order_id uuid PRIMARY KEY,
            state bytea NOT NULL,
            placed_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            placed_seq bigint NOT NULL
        ) WITH (fillfactor = 90)
        """
    )
    op.execute(
        """
        CREATE TABLE folded_entities (
            table_name text NOT NULL,
            key text NOT NULL,
            subject text NOT NULL,
            state bytea NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (table_name, key)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX folded_entities_subject_idx ON folded_entities (subject)")
    op.execute(
        """
        CREATE TABLE folded_balances (
            ledger text NOT NULL,
            key text NOT NULL,
            posted bigint NOT NULL,
            pending bigint NOT NULL,
            PRIMARY KEY (ledger, key)
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)
        """
    )
    op.execute("CREATE TABLE log_digests (seq bigint PRIMARY KEY, digest bytea NOT NULL)")
