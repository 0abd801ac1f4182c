"""The tables of the stored fold: the state according to the log up to a seq, as the background process has folded it
(see `workers/patrol/`). Everything in them is derived from the log; for a release with another `meaning` than the one
in `fold_position`, they are rebuilt from it.

States are encoded by `runtime/proof/stored.py`, without the fields that are not in the log.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, SmallInteger, Table, Text, Uuid

from runtime.tables.base import metadata, when

# One row. `seq` is the last event folded, `at` its moment, `digest` that of the log up to it; at `balances_seq`, all
# balances agreed with their tables. `meaning` is a fingerprint of how the release that folded it defines states and
# events; a release that defines them differently cannot use the fold (see `unknown_to` in `runtime/proof/stored.py`).
# `numbers` is how many of each series had been given out by then, as JSON.
fold_position = Table(
    "fold_position",
    metadata,
    Column("only_row", SmallInteger, CheckConstraint("only_row = 1", name="fold_position_one_row"), primary_key=True),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    when("at", nullable=True),
    Column("digest", LargeBinary, nullable=False, server_default=""),
    Column("meaning", Text, nullable=False, server_default=""),
    Column("balances_seq", BigInteger, nullable=False, server_default="0"),
    when("moved_at", server_default="epoch"),
    Column("numbers", Text, nullable=False, server_default="{}"),
)

folded_orders = Table(
    "folded_orders",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("state", LargeBinary, nullable=False),
    when("placed_at"),
    when("updated_at"),
    Column("placed_seq", BigInteger, nullable=False),
)

# `key` is that of the row in the entity's table, `subject` that of the events which change it.
folded_entities = Table(
    "folded_entities",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    when("created_at"),
    when("updated_at"),
    Index(None, "subject"),
)

folded_balances = Table(
    "folded_balances",
    metadata,
    Column("ledger", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("posted", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
)

# The digests of the log up to each seq at which a window of the fold ended.
log_digests = Table(
    "log_digests",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
)
