"""The event log, read from any seq."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.rawjson import as_text
from runtime.records import EventRecord, microseconds
from runtime.tables import event_counter, events


async def last_seq(connection: AsyncConnection) -> int:
    """The seq of the newest event, 0 if there is none."""
    seq: int = (await connection.execute(select(event_counter.c.last_seq))).scalar_one()
    return seq


async def first_since(connection: AsyncConnection, since: datetime) -> int | None:
    """The seq of the first event at or after a moment, if there is one. A small index of times (BRIN) finds its part of
    the log."""
    query = select(func.min(events.c.seq)).where(events.c.occurred_at >= since)
    seq: int | None = (await connection.execute(query)).scalar_one()
    return seq


async def read(connection: AsyncConnection, after: int, limit: int) -> list[EventRecord]:
    """Up to `limit` events behind `after`, in order."""
    columns = events.c
    rows = await connection.execute(
        select(
            columns.seq,
            columns.type,
            columns.subject,
            columns.command_id,
            columns.actor,
            columns.occurred_at,
            as_text(columns.data),
        )
        .where(columns.seq > after)
        .order_by(columns.seq)
        .limit(limit)
    )
    return [
        EventRecord(seq, event_type, subject, command_id, actor, microseconds(occurred_at), data)
        for seq, event_type, subject, command_id, actor, occurred_at, data in rows
    ]
