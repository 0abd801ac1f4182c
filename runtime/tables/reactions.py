"""The reactions' tables: how far each has come in the log, who is at work on it, and what it gave up on.

They are written by the background processes, outside of any batch, except where a command says from which event on a
reaction is to go (see `Rows.move_reaction`). No event explains them, so `verify` has nothing to compare them with.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Table, Text, Uuid

from runtime.tables.base import metadata, when

# `position` is the seq of the last event that was handled, or passed over. `active` is whether any process knows the
# reaction (a webhook that was disabled is not). `failures` counts the tries of the event behind the position, `blamed`
# those of them that may have been its own fault; `due_at` is when the next may be made, or when that event is old
# enough. The lease is held by one run at a time.
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

# Events that a reaction could not handle, however often it tried, or gave up on at once.
reaction_dead_letters = Table(
    "reaction_dead_letters",
    metadata,
    Column("reaction", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("error", Text, nullable=False),
    when("at"),
)
