"""Places in the log: each event of a batch gets one, and all of them share one moment. Some events also get the next
number of a series (see `workers/numbering.py`).

Taking places and numbers locks the event counter until the commit; it is the last lock of a batch (see
`workers/rows.py`). So places and numbers have no gaps and follow commit order, and so do the moments of events, even if
clocks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from runtime.metrics import EVENT_COUNTER_WAIT_SECONDS


class Places(msgspec.Struct, frozen=True, gc=False):
    """Places in the log from `first` on, and their moment."""

    first: int
    at: datetime


class Taken(NamedTuple):
    """Places, and how many numbers of each of SERIES had been given out before them."""

    places: Places
    numbers: Sequence[int]


def taking(condition: str = "true") -> str:
    """The query that takes the next {0} places in the log and the next {2}, {3} and {4} numbers of SERIES, and so locks
    the counter, if the condition holds. Their moment is {1}, but always after that of the previous places, even if
    those were taken by a batch that began later or has a faster clock."""
    return f"""
        UPDATE event_counter
        SET last_seq = last_seq + {{0}}, last_at = greatest({{1}}, last_at + interval '1 microsecond'),
            orders = orders + {{2}}, invoices = invoices + {{3}}, credit_notes = credit_notes + {{4}}
        WHERE {condition}
        RETURNING last_seq - {{0}} + 1 AS first, last_at AS at,
            orders - {{2}} AS orders, invoices - {{3}} AS invoices, credit_notes - {{4}} AS credit_notes
    """  # noqa: S608 - texts of ours


_TAKE: Final = taking().format("$1", "$2", "$3", "$4", "$5")


async def take_places(connection: asyncpg.Connection[Any], count: int, at: datetime, numbers: Sequence[int]) -> Taken:
    """Takes the next `count` places and `numbers` of each of SERIES; locks the counter until the commit."""
    with EVENT_COUNTER_WAIT_SECONDS.time():
        first, at, *given = await connection.fetchrow(_TAKE, count, at, *numbers)
    return Taken(Places(first, at), given)
