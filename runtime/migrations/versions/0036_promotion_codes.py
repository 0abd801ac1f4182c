"""Codes for promotions, and the ledger of allowances."""

from alembic import op

from runtime.tables.ledgers import KEY, create_ledger_table
from runtime.tables.suspects import watch

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE promotion_codes (
            code text NOT NULL CONSTRAINT promotion_codes_pkey PRIMARY KEY,
            says jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute(create_ledger_table("allowances"))
    for statement in (*watch("promotion_codes", "code"), *watch("allowances", KEY)):
        op.execute(statement)
