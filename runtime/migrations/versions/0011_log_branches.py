"""The log has an identity, and gets a new one from the point to which it is restored."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE log_branches (
            number integer NOT NULL CONSTRAINT log_branches_pkey PRIMARY KEY,
            identity uuid NOT NULL CONSTRAINT log_branches_identity_key UNIQUE,
            after_seq bigint NOT NULL,
            begun_at timestamptz NOT NULL
        )
        """
    )
    op.execute("INSERT INTO log_branches VALUES (1, gen_random_uuid(), 0, now())")
