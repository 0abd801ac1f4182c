"""Failures that an event itself may have caused are counted separately from attempts."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reactions ADD COLUMN blamed INTEGER NOT NULL DEFAULT 0")
