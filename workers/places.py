"""Places in the log: each event of a batch gets one, and all of them share one moment.

Places are taken with the event counter, the last lock of a batch (see `workers/rows.py`), and held until the commit: so
`seq` has no gaps and follows commit order, and so do the moments of events, whatever the clocks say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec


class Places(msgspec.Struct, frozen=True, gc=False):
    """Places in the log from `first` on, and their moment."""

    first: int
    at: datetime


def taking(condition: str = "true") -> str:
    """The query that takes the next {0} places in the log, and with them the counter, if the condition holds. Their
    moment is {1}, or just after that of the previous places if a batch that began later, or one with a faster clock,
    took those."""
    return f"""
        UPDATE event_counter
        SET last_seq = last_seq + {{0}}, last_at = greatest({{1}}, last_at + interval '1 microsecond') WHERE {condition}
        RETURNING last_seq - {{0}} + 1 AS first, last_at AS at
    """  # noqa: S608 - texts of ours


_TAKE: Final = taking().format("$1", "$2")


async def take_places(connection: asyncpg.Connection[Any], count: int, at: datetime) -> Places:
    """Takes the next `count` places, until the commit."""
    return Places(*await connection.fetchrow(_TAKE, count, at))
