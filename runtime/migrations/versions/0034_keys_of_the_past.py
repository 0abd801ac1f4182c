"""Copies the keys of existing commands while writes go on. Commands whose ids are beyond the first partition's bound,
from a clock that was far ahead, wait in what becomes the default partition."""

from alembic import op
from sqlalchemy import text

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("SET LOCAL application_name = 'tidegate-migrate-batch'")
    op.execute(
        """
        INSERT INTO idempotency_keys SELECT principal, idempotency_key, id, fingerprint FROM commands
        WHERE idempotency_key IS NOT NULL ON CONFLICT DO NOTHING
        """
    )
    within = connection.scalar(
        text("SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'commands_first_range'")
    )
    op.execute("CREATE TABLE commands_default (LIKE commands INCLUDING DEFAULTS)")
    op.execute(
        f"WITH moved AS (DELETE FROM commands WHERE NOT {within} RETURNING *)"  # noqa: S608 - Postgres's own words
        " INSERT INTO commands_default SELECT * FROM moved"
    )
    op.execute("ALTER TABLE commands VALIDATE CONSTRAINT commands_first_range")
