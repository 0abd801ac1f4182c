"""The tables of accounts, their sessions, and API keys.

Columns are named as the fields of the states in `domain/accounts.py`, `domain/sessions.py` and `domain/api_keys.py`.
"""

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, Uuid

from runtime.tables.base import metadata, when

# `epoch` rises with every change that must end earlier sessions and tokens. Production refuses rows created in
# `development`, in all tables here.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, unique=True),
    Column("name", Text),
    Column("role", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("password_hash", Text),
    Column("development", Boolean, nullable=False, server_default="false"),
    Column("confirmed", Boolean, nullable=False, server_default="true"),
    Column("erased", Boolean, nullable=False, server_default="false"),
    CheckConstraint(
        "CASE WHEN erased THEN num_nonnulls(email, name, password_hash) = 0"
        " ELSE num_nulls(email, name, password_hash) = 0 END",
        name="accounts_say_who_they_are_until_erased",
    ),
    when("created_at"),
    when("updated_at"),
    Index(None, "created_at", "id"),
    # A starting gateway asks what has changed in the last minutes.
    Index(None, "updated_at"),
    Index("accounts_unconfirmed", "updated_at", postgresql_where="NOT confirmed AND NOT erased"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, ForeignKey("accounts.id", name="sessions_account_id_fkey"), nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    when("expires_at"),
    # Why it ended, if it did: see domain/sessions.py.
    Column("closed", Text),
    when("refreshed_at", nullable=True),
    Column("development", Boolean, nullable=False, server_default="false"),
    when("created_at"),
    when("updated_at"),
    Index("sessions_closed_updated_at", "updated_at", postgresql_where="closed IS NOT NULL"),
)

# `last_used_at` is telemetry: gateways write it, at most once a minute each, without an event.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("development", Boolean, nullable=False, server_default="false"),
    when("last_used_at", nullable=True),
    when("created_at"),
    when("updated_at"),
)
