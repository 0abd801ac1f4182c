"""What variants cost over the last days."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE variants ADD COLUMN price_history jsonb NOT NULL DEFAULT '[]'")
