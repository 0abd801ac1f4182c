"""The rows that a batch adds to tables, and the new positions of its mailboxes: parts of one statement, if there are
few.

COPY takes two round trips per table but less time per row, so tables that get many rows are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

import asyncpg
from sqlalchemy import Table

from runtime.entities import type_of
from workers.statements import Part, execute, taken

# From this many rows on, COPY is cheaper: measured in docs/decisions/0035-small-batches-in-few-round-trips.md.
COPY_FROM_ROWS: Final = 48


class Columns(NamedTuple):
    """Columns of a table, in the order of the values in a row; which of them are seqs, and which the moment of the
    batch."""

    table: Table
    names: tuple[str, ...]
    seqs: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()


class Reached(NamedTuple):
    """How far a batch brings a mailbox: the id of its last entry, and how many entries the batch took from it."""

    position: str
    entries: int


class Inserts:
    """The rows that a batch adds."""

    def __init__(self) -> None:
        self._rows: dict[Columns, Sequence[tuple[Any, ...]]] = {}
        self._more: list[Part] = []

    def add(self, columns: Columns, rows: Iterable[tuple[Any, ...]]) -> None:
        """Adds a table's rows, all at once."""
        assert columns not in self._rows, f"rows of {columns.table.name} given twice"
        if some := list(rows):
            self._rows[columns] = some

    def add_part(self, part: Part) -> None:
        """Adds a part that is not a plain insert."""
        self._more.append(part)

    def parts(self, reached: Mapping[int, Reached]) -> list[Part]:
        """The rows that are not copied, and the positions of the mailboxes, as parts of a statement. The seqs in rows
        are counted from the `first` of its places."""
        return [*(_part(columns, rows) for columns, rows in self._rows.items()), *self._more, _moved(reached)]

    async def copy(self, connection: asyncpg.Connection[Any]) -> None:
        """Copies the tables that get many rows now, before the counter is held and others wait for it."""
        for columns in [columns for columns, rows in self._rows.items() if len(rows) >= COPY_FROM_ROWS]:
            await connection.copy_records_to_table(
                columns.table.name, records=self._rows.pop(columns), columns=columns.names
            )

    async def write(self, connection: asyncpg.Connection[Any], reached: Mapping[int, Reached], at: datetime) -> None:
        """Writes all rows, whose seqs must be final, and moves the positions of the mailboxes, which must be locked."""
        await self.copy(connection)
        await execute(connection, [taken(at), *self.parts(reached)])
        self._rows.clear()
        self._more.clear()


def _part(columns: Columns, rows: Sequence[tuple[Any, ...]]) -> Part:
    values = dict(zip(columns.names, zip(*rows, strict=True), strict=True))
    arrays = [array for name, array in values.items() if name not in columns.moments]
    return Part(f"added_to_{columns.table.name}", _insert(columns), arrays)


@cache
def _insert(columns: Columns) -> str:
    table, names, seqs, moments = columns
    own = [name for name in names if name not in moments]
    arrays = ", ".join(f"{{{n}}}::{type_of(table, name)}[]" for n, name in enumerate(own))
    values = ("p.at" if name in moments else f"p.first + v.{name}" if name in seqs else f"v.{name}" for name in names)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)}"  # noqa: S608 - names of ours
        f" FROM places p, unnest({arrays}) AS v ({', '.join(own)})"
    )


_MOVE: Final = """
    UPDATE mailboxes m SET position = v.position, entries = m.entries + v.entries
    FROM places, unnest({0}::smallint[], {1}::text[], {2}::int[]) AS v (mailbox, position, entries)
    WHERE m.mailbox = v.mailbox
"""


def _moved(reached: Mapping[int, Reached]) -> Part:
    return Part("moved_mailboxes", _MOVE, (list(reached), *zip(*reached.values(), strict=True)))
