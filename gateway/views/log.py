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
from runtime.tables import event_counter, events, log_branches, log_start

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


_SEQ_MAX: Final = 2**63 - 1

ARCHIVED: Final = "archived"
"""The code for what is no longer in the database, because it was archived."""


class LogState(NamedTuple):
    """The seq of the newest event, 0 if there is none; which log it is; and the seq of its first event that is not
    archived."""

    last_seq: int
    branches: Branches
    first_seq: int


class NotThisLog(Exception):
    """One cannot go on from there in this log: it is beyond its end, of another one, or what follows is archived.
    `code` is stable."""

    def __init__(self, code: str, detail: str, state: LogState) -> None:
        super().__init__(detail)
        self.code = code
        self.state = state

    @property
    def first_seq(self) -> int | None:
        """Where the log begins, if that is why."""
        return self.state.first_seq if self.code == ARCHIVED else None


async def state(connection: AsyncConnection) -> LogState:
    """The log as it is now."""
    query = select(event_counter.c.last_seq, log_start.c.first_seq, log_branches.c.identity, log_branches.c.after_seq)
    of_all = event_counter.join(log_start, true()).join(log_branches, true())
    rows = (await connection.execute(query.select_from(of_all).order_by("number"))).all()
    return LogState(rows[0].last_seq, Branches.of([row[2:] for row in rows]), rows[0].first_seq)


def check_place(log: LogState, after: int, identity: UUID | None) -> None:
    """Raises NotThisLog if a client cannot resume after `after`, of the log `identity` if it names one."""
    if identity is not None and not log.branches.hold(identity, after):
        raise NotThisLog("another_log", "The log was replaced since you read it: start over.", log)
    if after > log.last_seq:
        raise NotThisLog("ahead_of_log", f"The log ends at seq {log.last_seq}: start over, or resume from there.", log)
    if after < log.first_seq - 1:
        raise NotThisLog(ARCHIVED, f"Events before seq {log.first_seq} are archived: begin from there.", log)


async def check_read(connection: AsyncConnection, after: int, identity: UUID) -> None:
    """Call after reading events after `after` as those of the log `identity`, on the same connection. Raises NotThisLog
    if some of them may already have been archived, or may be of another log: a restore cuts this connection, and until
    then the database either has its new identity or none of its new events."""
    newest = select(log_branches.c.identity).order_by(log_branches.c.number.desc()).limit(1).scalar_subquery()
    first_seq, today = (await connection.execute(select(log_start.c.first_seq, newest))).one()
    if after < first_seq - 1 or today != identity:
        now = await state(connection)
        check_place(now, after, None)
        raise NotThisLog("another_log", "The log was replaced since you read it: start over.", now)


async def first_since(connection: AsyncConnection, since: datetime) -> int | None:
    """The seq of the first event at or after a moment, if there is one. A small index of times (BRIN) finds its part of
    the log."""
    query = select(func.min(events.c.seq)).where(events.c.occurred_at >= since)
    seq: int | None = (await connection.execute(query)).scalar_one()
    return seq


async def read(connection: AsyncConnection, after: int, limit: int) -> list[EventRecord]:
    """Up to `limit` events after `after`, in order."""
    # Without gaps, the bound changes nothing, but tells which partitions to look into.
    within = (events.c.seq > after, events.c.seq <= min(after + limit, _SEQ_MAX))
    return await _records(connection, _LINES.where(*within).order_by(events.c.seq).limit(limit))


async def read_some(connection: AsyncConnection, seqs: Sequence[int]) -> list[EventRecord]:
    """The events at these seqs, in order."""
    named = bindparam("seqs", list(seqs), type_=ARRAY(BigInteger))
    return await _records(connection, _LINES.where(events.c.seq == any_(named)).order_by(events.c.seq))


async def _records(connection: AsyncConnection, query: Select[Any]) -> list[EventRecord]:
    return [
        current(EventRecord(seq, event_type, subject, command_id, actor, microseconds(occurred_at), data, version))
        for seq, event_type, subject, command_id, actor, occurred_at, data, version in await connection.execute(query)
    ]
