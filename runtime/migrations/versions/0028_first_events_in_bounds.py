"""Validates that all events are below the bound of the first partition, while writes go on."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE events VALIDATE CONSTRAINT events_first_range")
