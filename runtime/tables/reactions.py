"""The reactions' tables: the position of each in the log, its lease, and the events it gave up on. The background
processes write them, outside of any batch, except when a command moves a reaction to an event (see
`Rows.move_reaction`). They are not derived from events, so `verify` has nothing to compare them with.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Table, Text, Uuid

from runtime.tables.base import metadata, when

# `position` is the seq of the last event handled or skipped. `active` is whether any process has the reaction (a
# disabled webhook is not active). `failures` counts the failed attempts at the event after the position, `blamed` those
# in which the event itself may have been at fault; `due_at` is when the next attempt may be made, or when that event is
# old enough. The lease is held by one run at a time.
reactions = Table(
    "reactions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("delay_seconds", Double, nullable=False, server_default="0"),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("blamed", Integer, nullable=False, server_default="0"),
    when("failing_since", nullable=True),
    Column("last_error", Text),
    when("due_at", nullable=True),
    Column("lease_token", Uuid),
    when("lease_until", nullable=True),
    when("updated_at"),
)

# Events that a reaction gave up on, at once or after many attempts.
reaction_dead_letters = Table(
    "reaction_dead_letters",
    metadata,
    Column("reaction", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("error", Text, nullable=False),
    when("at"),
)
