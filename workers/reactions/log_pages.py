"""Reads the log for a reaction: pages of the events that it wants and that are old enough. A page covers a bounded
stretch of the log, so that a reaction with few interests does not scan for minutes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from domain.versions import UnknownVersion
from runtime.records import EventRecord, current, microseconds
from workers.reactions.core import Reaction

# How much of the log one page covers: an event that a reaction skips costs Postgres a microsecond or less.
STRETCH_MAX_EVENTS: Final = 20_000
# How many events one page returns: a single order of the largest size is up to 250 KB.
PAGE_MAX_EVENTS: Final = 200

_END: Final = "SELECT last_seq, now() FROM event_counter"

_EVENTS: Final = """
    SELECT seq, type, subject, command_id, actor, occurred_at, data::text, version FROM events
    WHERE seq > $1 AND seq <= $2 AND ($3::text[] IS NULL OR type = ANY($3::text[])) ORDER BY seq LIMIT $4
"""


class Page(NamedTuple):
    """Events to handle, in order. Once they are handled, everything up to `upto` is done; `is_last` is whether that is
    the log's end. If the next event is not old enough yet, `due_at` is when it will be."""

    records: list[EventRecord]
    upto: int
    is_last: bool
    due_at: datetime | None = None


async def read_page(pool: asyncpg.Pool[Any], reaction: Reaction, position: int) -> Page:
    """The page after `position`. Raises UnknownVersion if the next event was written by a later release: the reaction
    waits until a process of that release runs it."""
    last_seq, now = await pool.fetchrow(_END)
    upto = min(last_seq, position + STRETCH_MAX_EVENTS)
    if upto <= position:
        return Page([], position, is_last=True)
    limit = max(PAGE_MAX_EVENTS, reaction.handle_max_events)
    interests = None if reaction.interests is None else list(reaction.interests)
    rows = await pool.fetch(_EVENTS, position, upto, interests, limit)
    if len(rows) == limit:
        upto = rows[-1]["seq"]
    records: list[EventRecord] = []
    delay = timedelta(seconds=reaction.delay_seconds)
    for row in rows:
        if delay and row["occurred_at"] + delay > now:
            return Page(records, row["seq"] - 1, is_last=False, due_at=row["occurred_at"] + delay)
        try:
            records.append(_record(*row))
        except UnknownVersion:
            if not records:
                raise
            return Page(records, row["seq"] - 1, is_last=False)
    return Page(records, upto, is_last=upto == last_seq)


def _record(
    seq: int, kind: str, subject: str, command_id: UUID, actor: str, occurred_at: datetime, data: str, version: int
) -> EventRecord:
    return current(
        EventRecord(
            seq,
            kind,
            subject,
            UUID(int=command_id.int),
            actor,
            microseconds(occurred_at),
            msgspec.Raw(data.encode()),
            version,
        )
    )
