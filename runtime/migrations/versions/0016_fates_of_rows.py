"""The outcome of every line of an upload is kept, not only of the rejected: a dry run shows each row's."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job_errors RENAME TO job_rows")
    op.execute("ALTER INDEX job_errors_pkey RENAME TO job_rows_pkey")
    op.execute("ALTER TABLE job_rows ADD COLUMN fate text NOT NULL DEFAULT 'rejected'")
    op.execute("ALTER TABLE job_rows ALTER COLUMN fate DROP DEFAULT")
