"""Accounts, their sessions, and API keys."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE accounts (
            id uuid NOT NULL CONSTRAINT accounts_pkey PRIMARY KEY,
            email text NOT NULL CONSTRAINT accounts_email_key UNIQUE,
            name text NOT NULL,
            role text NOT NULL,
            active boolean NOT NULL,
            epoch integer NOT NULL,
            password_hash text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX accounts_updated_at_idx ON accounts (updated_at)")
    # A session is rewritten whenever it is refreshed; room in its page keeps that off the indexes.
    op.execute(
        """
        CREATE TABLE sessions (
            id uuid NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
            account_id uuid NOT NULL CONSTRAINT sessions_account_id_fkey REFERENCES accounts,
            scopes text[] NOT NULL,
            generation integer NOT NULL,
            epoch integer NOT NULL,
            expires_at timestamptz NOT NULL,
            closed text,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX sessions_closed_updated_at ON sessions (updated_at) WHERE closed IS NOT NULL")
    op.execute(
        """
        CREATE TABLE api_keys (
            id uuid NOT NULL CONSTRAINT api_keys_pkey PRIMARY KEY,
            name text NOT NULL,
            role text NOT NULL,
            scopes text[] NOT NULL,
            created_by text NOT NULL,
            secret_hash text NOT NULL,
            revoked boolean NOT NULL,
            last_used_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
