"""A window: the next events of the log that one round folds, few enough to be held in memory. It ends where a batch
ends, so that its state is consistent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from runtime.database import Connection
from runtime.proof.numbers import COUNTER
from runtime.proof.stored import LOG_ROW, Position

_BLOCK_ROWS: Final = 64
_EVENTS: Final = f"SELECT {LOG_ROW} FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq"  # noqa: S608 - ours
_NEWEST: Final = "SELECT max(seq) FROM events"


class Counter(NamedTuple):
    """The event counter: the last seq and its moment; the seq after which moments are in the order of seqs; and how
    many numbers of each series have been given out."""

    last_seq: int
    last_at: datetime
    ordered_after: int
    numbers: Sequence[int]


class Window(NamedTuple):
    """Rows of LOG_ROW after the position `base`, and the counter in the same snapshot."""

    base: Position
    counter: Counter
    newest_seq: int
    rows: Sequence[asyncpg.Record]

    @property
    def until(self) -> int:
        """The seq of the last event in it."""
        return int(self.rows[-1][0]) if self.rows else self.base.seq

    @property
    def at(self) -> datetime | None:
        """The moment of that event."""
        moment: datetime | None = self.rows[-1][3] if self.rows else self.base.at
        return moment

    @property
    def reaches_the_tail(self) -> bool:
        """Whether nothing follows: every table must agree with the log up to here."""
        return self.until >= self.counter.last_seq


async def read_window(connection: Connection, base: Position, *, max_events: int, max_bytes: int) -> Window:
    """The next window. It exceeds the bounds if a single batch does."""
    last_seq, last_at, ordered_after, *numbers = await connection.fetchrow(COUNTER)
    counter = Counter(last_seq, last_at, ordered_after, numbers)
    newest: int = await connection.fetchval(_NEWEST) or 0
    rows: list[asyncpg.Record] = []
    if base.seq < counter.last_seq:
        cursor = await connection.cursor(_EVENTS, base.seq, counter.last_seq)
        size = 0
        while block := await cursor.fetch(min(_BLOCK_ROWS, max_events)):
            rows += block
            size += sum(len(row[4]) for row in block)
            if (len(rows) >= max_events or size >= max_bytes) and rows[0][3] != rows[-1][3]:
                break
    return Window(base, counter, newest, _whole(rows, counter.last_seq))


def _whole(rows: list[asyncpg.Record], last_seq: int) -> Sequence[asyncpg.Record]:
    """The rows without the last batch, if that may be incomplete. All events of a batch have its moment, and no others
    do."""
    end = len(rows)
    if rows and rows[-1][0] < last_seq:
        while end and rows[end - 1][3] == rows[-1][3]:
            end -= 1
    return rows[:end] or rows
