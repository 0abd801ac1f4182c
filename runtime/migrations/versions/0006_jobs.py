"""Jobs, the bytes that go into and out of them, their errors line by line; and orders by the time of placing."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE jobs (
            id uuid NOT NULL CONSTRAINT jobs_pkey PRIMARY KEY,
            kind text NOT NULL,
            params jsonb NOT NULL,
            requested_by text NOT NULL,
            status text NOT NULL,
            run integer NOT NULL,
            summary jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            leases integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            lease_until timestamptz,
            due_at timestamptz,
            progress_done bigint NOT NULL DEFAULT 0,
            progress_total bigint,
            checkpoint jsonb
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX jobs_queued ON jobs (id) WHERE status = 'queued'")
    op.execute("CREATE INDEX jobs_requested_by_kind_id_idx ON jobs (requested_by, kind, id)")
    op.execute(
        """
        CREATE TABLE job_parts (
            job_id uuid NOT NULL,
            run integer NOT NULL,
            part integer NOT NULL,
            data bytea NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT job_parts_pkey PRIMARY KEY (job_id, run, part)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE job_errors (
            job_id uuid NOT NULL,
            line bigint NOT NULL,
            code text NOT NULL,
            detail text NOT NULL,
            particulars jsonb NOT NULL,
            CONSTRAINT job_errors_pkey PRIMARY KEY (job_id, line)
        )
        """
    )
    # For reports over days. Orders lie on disk roughly in the order of placing, so a summary per 32 pages finds them,
    # and costs an insert next to nothing.
    op.execute(
        "CREATE INDEX orders_placed_at ON orders USING brin (placed_at) WITH (pages_per_range = 32, autosummarize)"
    )
