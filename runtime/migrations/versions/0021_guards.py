"""State that many read and few change is protected by guards, one row each, in place of a column of the event
counter."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE guards (name text PRIMARY KEY, seq bigint NOT NULL) WITH (fillfactor = 50)")
    op.execute("INSERT INTO guards (name, seq) SELECT 'prices', prices_seq FROM event_counter")
    op.execute("ALTER TABLE event_counter DROP COLUMN prices_seq")
