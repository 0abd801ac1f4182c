"""The order pipeline's tables: stock, orders, the event log, commands, mailboxes, dead letters.

Their rows are written by the batch committer alone, in one transaction with the event that explains
them, and `tidegate verify` compares each with the log. So they carry no foreign keys: a row-level trigger for every
line of every order would cost more than it could find.
"""

from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from runtime.tables.base import metadata, when

# One row per variant, from its creation. Updated in place by every batch, hence the free space in its pages (HOT
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
    when("placed_at"),
    when("updated_at"),
    # A guest's e-mail address; a customer's is in the account.
    Column("email", Text),
    # Delivery and added tax less discounts: what the total has besides the lines.
    Column("charges_minor", BigInteger, nullable=False, server_default="0"),
    Column("checkout_id", Uuid),
    # What people call it by, such as T-000123; orders of the time before numbers have none.
    Column("number", Text),
    # The seq of its first event. Orders are placed in the order of the log: ids follow the order of acceptance, and an
    # order accepted first may wait longer.
    Column("placed_seq", BigInteger, nullable=False),
    Index("orders_placed_seq", "placed_seq", unique=True),
    Index(
        "orders_number",
        "number",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
    Index(None, "customer_id", "placed_seq"),
    # For erasing a person: the orders they placed as a guest.
    Index("orders_email", "email", postgresql_where="email IS NOT NULL"),
    # For reports by day.
    Index("orders_placed_at", "placed_at", postgresql_using="brin"),
)

# `position` counts an order's lines from 0, in the order requested. The rule that places an order ensures that no SKU
# occurs in it twice.
order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
)

AFTER_PLACING = "type LIKE 'order.%' AND type <> 'order.placed'"
"""The condition on an order's events after the first, word for word as in its index."""

OF_ACCOUNTS = "type LIKE 'account.%'"
OF_SESSIONS = "type LIKE 'session.%'"
OF_COMMANDS = "type LIKE 'command.%'"
OF_CATALOGUE = "(type LIKE 'product.%' OR type LIKE 'category.%')"
"""The conditions on other events, word for word as in their indexes."""

# The log, in partitions (see `runtime/partitions.py`). `seq` is gapless and follows commit order; `data` is JSON text,
# read back byte for byte.
events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("command_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False),
    when("occurred_at"),
    Column("data", JSON, nullable=False),
    # The version of `data`, see domain/versions.py.
    Column("version", SmallInteger, nullable=False, server_default="1"),
    # For an order's history. Its first event is by far the most frequent one, and is found by its time.
    Index("events_after_placing", "subject", "seq", postgresql_where=text(AFTER_PLACING)),
    # For the past of a principal and of the catalogue. Placing an order writes to none of these.
    Index("events_of_accounts", "subject", "seq", postgresql_where=text(OF_ACCOUNTS)),
    Index("events_of_sessions", text("(data->>'account_id')"), "seq", postgresql_where=text(OF_SESSIONS)),
    Index("events_of_commands", "actor", "seq", postgresql_where=text(OF_COMMANDS)),
    Index("events_of_catalogue", "seq", postgresql_where=text(OF_CATALOGUE)),
    Index("events_occurred_at", "occurred_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (seq)",
)

# One row: the first seq that is still in `events`, and the id before which commands have been archived from `commands`.
log_start = Table(
    "log_start",
    metadata,
    Column("only_row", SmallInteger, CheckConstraint("only_row = 1", name="log_start_one_row"), primary_key=True),
    Column("first_seq", BigInteger, nullable=False, server_default="1"),
    Column("commands_since", Uuid, nullable=False, server_default=str(UUID(int=0))),
)

# One row: the last seq given out and its moment, and how many numbers of each series were (see `domain/numbers.py`). It
# is the last lock that a transaction takes. After `ordered_after`, moments are in the order of seqs; earlier ones were
# written by releases that did not ensure it.
event_counter = Table(
    "event_counter",
    metadata,
    Column("only_row", SmallInteger, CheckConstraint("only_row = 1", name="event_counter_one_row"), primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    when("last_at", server_default="epoch"),
    Column("ordered_after", BigInteger, nullable=False, server_default="0"),
    Column("orders", BigInteger, nullable=False, server_default="0"),
    Column("invoices", BigInteger, nullable=False, server_default="0"),
    Column("credit_notes", BigInteger, nullable=False, server_default="0"),
)

# For state that many read and few change: the seq of its last change, by the name of the guard; 0 if there is no row
# yet.
guards = Table(
    "guards",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# The audit record: who asked for what (`request` is the mailbox entry as accepted, without private data), when, and the
# outcome. `seq` is that of the command's first event; its events are consecutive. Partitioned by id, that is, by when
# the command was accepted. Only workers of older releases write a `fingerprint` here.
commands = Table(
    "commands",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("principal", Text, nullable=False),
    when("accepted_at"),
    when("applied_at"),
    Column("mailbox", SmallInteger, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_count", SmallInteger, nullable=False, server_default="1"),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary),
    Column("request", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (id)",
)

# The first command of each idempotency key, and the digest of its request, for as long as the command is not archived.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("command_id", Uuid, nullable=False),
    Column("fingerprint", LargeBinary),
)

# The actors: `position` is the id of the last stream entry applied, `entries` how many have been applied in all,
# `rejoined` how often Redis had forgotten them. The row's lock is the right to apply the mailbox.
mailboxes = Table(
    "mailboxes",
    metadata,
    Column("mailbox", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", Text, nullable=False, server_default="0-0"),
    Column("entries", BigInteger, nullable=False, server_default="0"),
    Column("rejoined", Integer, nullable=False, server_default="0"),
)

# Entries that could not be applied: garbage, unknown versions, commands whose rule raised. Private data is blanked;
# `lost` names the fields that would be missing if the command were sent again. An entry that was not `understood` may
# hold anything; it is stored as it came, for a limited time.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("mailbox", SmallInteger, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("command_id", Uuid),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    when("failed_at"),
    Column("lost", ARRAY(Text), nullable=False, server_default="{}"),
    Column("understood", Boolean, nullable=False, server_default="true"),
)
