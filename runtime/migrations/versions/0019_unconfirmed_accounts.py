"""Expired unconfirmed registrations are found by an index, without reading all accounts."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX accounts_unconfirmed ON accounts (updated_at) WHERE NOT confirmed AND NOT erased")
