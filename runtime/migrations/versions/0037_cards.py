"""Gift cards and store credit, and their columns in checkouts and payments."""

from alembic import op

from runtime.tables.ledgers import KEY, create_ledger_table
from runtime.tables.suspects import watch

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE gift_cards (
            id uuid NOT NULL CONSTRAINT gift_cards_pkey PRIMARY KEY,
            code_hash text CONSTRAINT gift_cards_code_hash_key UNIQUE,
            shown text NOT NULL,
            currency text NOT NULL,
            initial_minor bigint NOT NULL,
            active boolean NOT NULL,
            expires_at timestamptz,
            order_id uuid,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX gift_cards_created ON gift_cards (created_at, id)")
    op.execute("CREATE INDEX gift_cards_bought ON gift_cards (order_id) WHERE order_id IS NOT NULL")
    op.execute(create_ledger_table("card_balances"))
    op.execute("ALTER TABLE checkouts ADD COLUMN gift_cards uuid[] NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE checkouts ADD COLUMN store_credit boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE payments ADD COLUMN card_id uuid")
    for statement in (*watch("gift_cards", "id"), *watch("card_balances", KEY)):
        op.execute(statement)
