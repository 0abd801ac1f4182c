"""The event log, read from any seq."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Select, any_, bindparam, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.web.rawjson import as_text
from runtime.branches import Branches
from runtime.records import EventRecord, current, microseconds
from runtime.tables import event_counter, events, log_branches

_LINES: Final = select(
    events.c.seq,
    events.c.type,
    events.c.subject,
    events.c.command_id,
    events.c.actor,
    events.c.occurred_at,
    as_text(events.c.data),
    events.c.version,
)


class LogState(NamedTuple):
    """The seq of the newest event, 0 if there is none, and which log it is."""

    last_seq: int
    branches: Branches


class NotThisLog(Exception):
    """What somebody has seen is no part of this log: it is beyond its end, or of another one. `code` is stable."""

    def __init__(self, code: str, detail: str, state: LogState) -> None:
        super().__init__(detail)
        self.code = code
        self.state = state


async def state(connection: AsyncConnection) -> LogState:
    """The log as it is now."""
    query = select(event_counter.c.last_seq, log_branches.c.identity, log_branches.c.after_seq)
    rows = (await connection.execute(query.join_from(event_counter, log_branches, true()).order_by("number"))).all()
    return LogState(rows[0].last_seq, Branches.of([row[1:] for row in rows]))


def check_place(log: LogState, after: int, identity: UUID | None) -> None:
    """Raises NotThisLog for a client that is to go on behind `after`, of the log `identity` if it says so."""
    if identity is not None and not log.branches.hold(identity, after):
        raise NotThisLog("another_log", "The log was replaced since you read it: start over.", log)
    if after > log.last_seq:
        raise NotThisLog("ahead_of_log", f"The log ends at seq {log.last_seq}: start over, or resume from there.", log)


async def first_since(connection: AsyncConnection, since: datetime) -> int | None:
    """The seq of the first event at or after a moment, if there is one. A small index of times (BRIN) finds its part of
    the log."""
    query = select(func.min(events.c.seq)).where(events.c.occurred_at >= since)
    seq: int | None = (await connection.execute(query)).scalar_one()
    return seq


async def read(connection: AsyncConnection, after: int, limit: int) -> list[EventRecord]:
    """Up to `limit` events behind `after`, in order."""
    return await _records(connection, _LINES.where(events.c.seq > after).order_by(events.c.seq).limit(limit))


async def read_some(connection: AsyncConnection, seqs: Sequence[int]) -> list[EventRecord]:
    """The events at these seqs, in order."""
    named = bindparam("seqs", list(seqs), type_=ARRAY(BigInteger))
    return await _records(connection, _LINES.where(events.c.seq == any_(named)).order_by(events.c.seq))


async def _records(connection: AsyncConnection, query: Select[Any]) -> list[EventRecord]:
    return [
        current(EventRecord(seq, event_type, subject, command_id, actor, microseconds(occurred_at), data, version))
        for seq, event_type, subject, command_id, actor, occurred_at, data, version in await connection.execute(query)
    ]
