"""Variants have a kind and a tax class."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE variants
            ADD COLUMN kind text NOT NULL DEFAULT 'goods', ADD COLUMN tax_class text NOT NULL DEFAULT 'standard'
        """
    )
