"""What a batch adds to tables, and how far that brings its mailboxes: one statement for all, while it is little.

A round trip costs the same however few rows it carries, so the rows of all tables go in one statement with the
positions. COPY takes two round trips for one table, but less for each row: a table that gets many rows is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import asyncpg
from sqlalchemy import Table

from runtime.entities import type_of

# From this many rows on, COPY is cheaper: measured in docs/decisions/0035-small-batches-in-few-round-trips.md.
COPY_FROM_ROWS: Final = 48


class Columns(NamedTuple):
    """Columns of a table, in the order in which rows have their values."""

    table: Table
    names: tuple[str, ...]


class Reached(NamedTuple):
    """How far a batch brings a mailbox: the id of its last entry, and how many entries the batch took from it."""

    position: str
    entries: int


class Inserts:
    """The rows that a batch adds."""

    def __init__(self) -> None:
        self._rows: dict[Columns, Sequence[tuple[Any, ...]]] = {}

    def add(self, columns: Columns, rows: Iterable[tuple[Any, ...]]) -> None:
        """Adds these rows; a table is given its rows once."""
        assert columns not in self._rows, f"rows of {columns.table.name} given twice"
        if some := list(rows):
            self._rows[columns] = some

    async def copy(self, connection: asyncpg.Connection[Any]) -> None:
        """Copies what is many rows, so that it need not be done later, when others wait."""
        for columns in [columns for columns, rows in self._rows.items() if len(rows) >= COPY_FROM_ROWS]:
            await connection.copy_records_to_table(
                columns.table.name, records=self._rows.pop(columns), columns=columns.names
            )

    async def write(self, connection: asyncpg.Connection[Any], reached: dict[int, Reached]) -> None:
        """Writes all rows, and moves the positions of the mailboxes, which must be held."""
        await self.copy(connection)
        arguments: list[Sequence[Any]] = [list(reached), *map(list, zip(*reached.values(), strict=True))]
        for rows in self._rows.values():
            arguments += zip(*rows, strict=True)
        await connection.execute(_statement(tuple(self._rows)), *arguments)
        self._rows.clear()


@cache
def _statement(tables: tuple[Columns, ...]) -> str:
    """Adds rows to these tables and moves positions; takes an array for each column, those of the positions first."""
    parts, place = [], 4
    for table, names in tables:
        arrays = ", ".join(f"${n}::{type_of(table, name)}[]" for n, name in enumerate(names, start=place))
        place += len(names)
        parts.append(
            f"added_to_{table.name} AS (INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}))"  # noqa: S608 - names of ours
        )
    return f"""
        {"WITH " + ", ".join(parts) if parts else ""}
        UPDATE mailboxes m SET position = v.position, entries = m.entries + v.entries
        FROM unnest($1::smallint[], $2::text[], $3::int[]) AS v (mailbox, position, entries)
        WHERE m.mailbox = v.mailbox
    """  # noqa: S608 - names of ours
