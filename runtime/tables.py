"""The tables, as they stand in Postgres. Migrations make them; views read them; batches write them.

Rows of the hot tables are written by the batch committer alone, in one transaction with the event that explains
them, and `tidegate verify` compares each with the log. So they carry no foreign keys: a row-level trigger for every
line of every order would cost more than it could find.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSON

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(constraint_name)s",
    }
)


def _when(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


products = Table(
    "products",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column(
        "price_minor",
        BigInteger,
        CheckConstraint("price_minor >= 0", name="products_price_not_negative"),
        nullable=False,
    ),
    Column("currency", Text, nullable=False),
)

# One row per product, from its first day. Updated in place by every batch, hence the free space in its pages (HOT
# updates) and the eager autovacuum of the first migration.
stock = Table(
    "stock",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    CheckConstraint("0 <= reserved AND reserved <= on_hand", name="stock_never_oversold"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    _when("placed_at"),
    _when("updated_at"),
    # Ids are UUIDv7: their order is the order of placing, so this serves "my orders, newest first".
    Index(None, "customer_id", "id"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
)

# The log. `seq` is gapless and follows commit order; `data` is JSON text, read back byte for byte.
events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("command_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False),
    _when("occurred_at"),
    Column("data", JSON, nullable=False),
)

# One row: the last seq given out. Locking it is the last thing a transaction does.
event_counter = Table(
    "event_counter",
    metadata,
    Column("only_row", SmallInteger, CheckConstraint("only_row = 1", name="event_counter_one_row"), primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
)

# The auditable record: who asked for what (`request` is the mailbox entry as it was accepted), when, and the outcome.
# `seq` is the first of the command's events, which follow one another.
commands = Table(
    "commands",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("principal", Text, nullable=False),
    _when("accepted_at"),
    _when("applied_at"),
    Column("mailbox", SmallInteger, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_count", SmallInteger, nullable=False, server_default="1"),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary),
    Column("request", LargeBinary, nullable=False),
    Index(
        "commands_idempotency_key",
        "principal",
        "idempotency_key",
        unique=True,
        postgresql_where="idempotency_key IS NOT NULL",
    ),
)

# The actors: `position` is the id of the last stream entry applied, `entries` how many there were in all,
# `rejoined` how often Redis had forgotten them. The row's lock is the right to apply the mailbox.
mailboxes = Table(
    "mailboxes",
    metadata,
    Column("mailbox", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", Text, nullable=False, server_default="0-0"),
    Column("entries", BigInteger, nullable=False, server_default="0"),
    Column("rejoined", Integer, nullable=False, server_default="0"),
)

# Entries that could not be applied, as they came: garbage, unknown versions, commands whose rule raised.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("mailbox", SmallInteger, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("command_id", Uuid),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    _when("failed_at"),
)
