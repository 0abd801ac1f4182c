"""Questions to tax providers about checkouts, and the answers."""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE checkouts
            ADD COLUMN tax_question text,
            ADD COLUMN tax_asks integer NOT NULL DEFAULT 0,
            ADD COLUMN tax_answer jsonb
        """
    )
