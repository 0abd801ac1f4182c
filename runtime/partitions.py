"""Partitions: the log is kept in tables that each hold a range of it, so that an old range can be archived and dropped
as a whole (see `ops/archive/`).

The background process creates them ahead of time (`workers/partitioning.py`). Rows outside all of them go into the
default partition, so that no write ever fails for lack of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from runtime.database import Connection

# An id (UUIDv7) begins with its moment.
_MOMENT_SHIFT: Final = 80

_BOUNDS: Final = re.compile(r"FOR VALUES FROM \((?:'([^']+)'|MINVALUE)\) TO \('([^']+)'\)")
_PARTITIONS: Final = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass
"""


class Parted(NamedTuple):
    """A table partitioned by ranges of `key`. The bounds are seqs; or, if the key is an id, milliseconds of Unix time,
    with which ids begin."""

    table: str
    key: str
    by_moment: bool = False

    @property
    def default(self) -> str:
        """The name of the default partition."""
        return f"{self.table}_default"

    def name(self, start: int) -> str:
        """The name of the partition that begins there."""
        return f"{self.table}_{start}"

    def literal(self, bound: int) -> str:
        """A bound as a value of the key, in SQL."""
        return f"'{first_id(bound) if self.by_moment else bound}'"

    def bound(self, said: str) -> int:
        """The bound that this value of the key, in SQL, stands for."""
        return UUID(said).int >> _MOMENT_SHIFT if self.by_moment else int(said)


EVENTS: Final = Parted("events", "seq")
COMMANDS: Final = Parted("commands", "id", by_moment=True)


def first_id(moment_ms: int) -> UUID:
    """The lowest id of that millisecond."""
    return UUID(int=moment_ms << _MOMENT_SHIFT)


class Partition(NamedTuple):
    """One partition: from `start` (None: unbounded) up to, but not including, `end`."""

    name: str
    start: int | None
    end: int


async def partitions(connection: Connection, parted: Parted) -> list[Partition]:
    """The existing partitions, in order, without the default one."""
    found = []
    for name, bounds in await connection.fetch(_PARTITIONS, parted.table):
        if said := _BOUNDS.fullmatch(bounds):
            start = None if said[1] is None else parted.bound(said[1])
            found.append(Partition(name, start, parted.bound(said[2])))
    return sorted(found, key=lambda each: each.end)


def making(parted: Parted, start: int, end: int) -> Sequence[str]:
    """The statements that create a partition for that range, to be run in a transaction. Rows of that range in the
    default partition are moved there."""
    table, key, default, name = parted.table, parted.key, parted.default, parted.name(start)
    first, last = parted.literal(start), parted.literal(end)
    return (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)",
        f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM {default} WHERE {key} >= {first} AND {key} < {last} RETURNING *)"  # noqa: S608 - ours
        f" INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({last})",
        *emptied_by_hand(name, table, key),
    )


def emptied_by_hand(partition: str, table: str, key: str) -> Sequence[str]:
    """The statements that create a trigger to note when the partition is truncated by hand: the table's own trigger
    does not fire for its partitions. Applied migrations have used it as it is: never change it, add another."""
    return (
        f"""
        CREATE TRIGGER emptied_by_hand BEFORE TRUNCATE ON {partition} FOR EACH STATEMENT
        WHEN (current_setting('application_name') NOT LIKE '%-batch')
        EXECUTE FUNCTION note_some_suspects('{key}', '{table}')
        """,
    )
