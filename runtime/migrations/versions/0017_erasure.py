"""Accounts can be erased: until then, their rows identify their owners."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE accounts
            ALTER COLUMN email DROP NOT NULL, ALTER COLUMN name DROP NOT NULL, ALTER COLUMN password_hash DROP NOT NULL,
            ADD COLUMN erased boolean NOT NULL DEFAULT false,
            ADD CONSTRAINT accounts_say_who_they_are_until_erased CHECK (
                CASE WHEN erased THEN num_nonnulls(email, name, password_hash) = 0
                ELSE num_nulls(email, name, password_hash) = 0 END
            )
        """
    )
    op.execute("CREATE INDEX orders_email ON orders (email) WHERE email IS NOT NULL")
