"""Tasks replace the run state in the rows of jobs: queued jobs are carried over, with their attempts and checkpoints.
And the fate of an import's row is now called its outcome."""

import hashlib
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_NUMBER_BITS = 12
_RANDOM_MASK = (1 << 62) - 1


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE tasks (
            id uuid NOT NULL CONSTRAINT tasks_pkey PRIMARY KEY,
            kind text NOT NULL,
            subject text NOT NULL,
            payload jsonb NOT NULL,
            created_seq bigint NOT NULL,
            state text NOT NULL DEFAULT 'queued',
            blocked boolean NOT NULL DEFAULT false,
            due_at timestamptz NOT NULL,
            runs integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            last_error text,
            lease_token uuid,
            lease_until timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)
        """
    )
    op.execute("CREATE INDEX tasks_due ON tasks (kind, due_at) WHERE state = 'queued' AND NOT blocked")
    op.execute("CREATE INDEX tasks_subject ON tasks (subject, created_seq, id)")
    op.execute("CREATE INDEX tasks_blocked ON tasks (subject, created_seq, id) WHERE blocked")
    op.execute("CREATE INDEX tasks_dead ON tasks (kind, id) WHERE state = 'dead'")
    op.execute(
        """
        CREATE TABLE job_progress (
            job_id uuid NOT NULL CONSTRAINT job_progress_pkey PRIMARY KEY,
            done bigint NOT NULL,
            total bigint,
            checkpoint jsonb
        ) WITH (fillfactor = 70)
        """
    )
    _carry_over()
    op.execute(
        """
        INSERT INTO job_progress (job_id, done, total, checkpoint)
        SELECT id, progress_done, progress_total, checkpoint FROM jobs
        WHERE status <> 'succeeded' AND (progress_done > 0 OR progress_total IS NOT NULL OR checkpoint IS NOT NULL)
        """
    )
    for column in ("leases", "attempts", "lease_until", "due_at", "progress_done", "progress_total", "checkpoint"):
        op.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    op.execute("ALTER TABLE job_rows RENAME COLUMN fate TO outcome")


def _carry_over() -> None:
    """The queued jobs, as tasks of the events that asked for them. A run that is still in progress holds no lease of
    the task, and can finish only once."""
    connection = op.get_bind()
    queued = connection.execute(
        sa.text(
            """
            SELECT j.id, j.kind, e.seq, e.command_id, e.occurred_at, j.leases, j.attempts, j.due_at, j.updated_at
            FROM jobs j JOIN events e ON e.type = 'job.requested' AND e.subject = j.id::text
            WHERE j.status = 'queued'
            """
        )
    )
    for job_id, kind, seq, command_id, at, leases, attempts, due_at, updated_at in queued.all():
        connection.execute(
            sa.text(
                """
                INSERT INTO tasks (
                    id, kind, subject, payload, created_seq, due_at, runs, attempts, created_at, updated_at
                ) VALUES (:id, :kind, :subject, '{}', :seq, :due_at, :runs, :attempts, :at, :updated_at)
                """
            ),
            {
                "id": _task_id(command_id),
                "kind": kind,
                "subject": str(job_id),
                "seq": seq,
                "due_at": due_at or at,
                "runs": leases,
                "attempts": attempts,
                "at": at,
                "updated_at": updated_at,
            },
        )


def _task_id(command_id: UUID) -> UUID:
    """The id of a command's first task."""
    digest = int.from_bytes(hashlib.blake2b(command_id.bytes, digest_size=8).digest())
    head = command_id.int >> 64 << 64
    return UUID(int=head | 0b10 << 62 | (digest << _NUMBER_BITS) & _RANDOM_MASK)
