"""A webhook has an owner, whose rights it delivers with."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE webhooks ADD COLUMN owner text, ADD COLUMN scopes text[]")
