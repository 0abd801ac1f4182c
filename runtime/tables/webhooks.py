"""The webhooks' tables: the endpoints, and the record of deliveries to them. `webhooks` has the columns of the state in
`domain/webhooks.py`; how far each endpoint has come is in `reactions`. Deliveries are not effects of commands: the
delivering process writes them directly, and the oldest are dropped.
"""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Integer, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from runtime.tables.base import metadata, when

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("disabled_reason", Text),
    Column("secret", Text),
    Column("previous_secret", Text),
    when("previous_secret_until", nullable=True),
    Column("version", Integer, nullable=False),
    Column("development", Boolean, nullable=False, server_default="false"),
    # The principal whose rights it has; null for an endpoint not changed since owners were introduced.
    Column("owner", Text),
    Column("scopes", ARRAY(Text)),
    when("created_at"),
    when("updated_at"),
    Index(None, "status"),
)

# One attempt each, the `attempt`th of its event: the response's `status`, if there was one, and the `error`, if it was
# not delivered; `duration_ms` is how long it took.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook_id", Uuid, primary_key=True),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("status", SmallInteger),
    Column("error", Text),
    Column("duration_ms", Integer, nullable=False),
    when("at"),
    Index(None, "webhook_id", "seq"),
)
