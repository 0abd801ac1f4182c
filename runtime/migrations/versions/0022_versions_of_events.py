"""Events record the version of their type; all existing ones have the first."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE events ADD COLUMN version SMALLINT NOT NULL DEFAULT 1")
