"""What delivery providers were asked about checkouts, and what they answered."""

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE checkouts
            ADD COLUMN rate_question text,
            ADD COLUMN rate_asks integer NOT NULL DEFAULT 0,
            ADD COLUMN rate_answer jsonb
        """
    )
