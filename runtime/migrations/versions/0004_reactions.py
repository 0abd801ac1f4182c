"""Reactions: how far each has come in the log, and the events that each gave up on."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Most of each page stays free so that an update finds room beside its row and touches no index (HOT).
    op.execute(
        """
        CREATE TABLE reactions (
            name text NOT NULL CONSTRAINT reactions_pkey PRIMARY KEY,
            position bigint NOT NULL,
            delay_seconds double precision NOT NULL DEFAULT 0,
            active boolean NOT NULL DEFAULT true,
            failures integer NOT NULL DEFAULT 0,
            failing_since timestamptz,
            last_error text,
            due_at timestamptz,
            lease_token uuid,
            lease_until timestamptz,
            updated_at timestamptz NOT NULL
        ) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
        """
    )
    op.execute(
        """
        CREATE TABLE reaction_dead_letters (
            reaction text NOT NULL,
            seq bigint NOT NULL,
            error text NOT NULL,
            at timestamptz NOT NULL,
            CONSTRAINT reaction_dead_letters_pkey PRIMARY KEY (reaction, seq)
        )
        """
    )
    # Nobody is written to about what happened before there were mails; whatever comes from now on, mail will see, even
    # if it is started late.
    op.execute("INSERT INTO reactions (name, position, updated_at) SELECT 'mail', last_seq, now() FROM event_counter")
