"""Checkouts are found by their e-mail address when somebody is erased."""

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX checkouts_email ON checkouts (email) WHERE email IS NOT NULL")
