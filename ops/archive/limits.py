"""How much of the log may be archived now: only what nothing will have to read again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from runtime.partitions import Partition
from runtime.proof.stored import POSITION, position


class Limit(NamedTuple):
    """Events up to `seq` may be archived; `because` says why no later ones."""

    seq: int
    because: str


class Asked(NamedTuple):
    """What to archive: events before `before_seq`, or from before `until`. Nothing younger than `young_since` is
    archived in any case, because repeated requests are answered from it."""

    before_seq: int | None
    until: datetime | None
    young_since: datetime

    def refuses(self, last_seq: int, last_at: datetime) -> str | None:
        """Why a partition that ends with this event is not to be archived; None if it is."""
        if self.before_seq is not None and last_seq >= self.before_seq:
            return f"seq {last_seq} is not before seq {self.before_seq}"
        if self.until is not None and last_at >= self.until:
            return f"its last event happened on {last_at:%Y-%m-%d %H:%M}"
        if last_at >= self.young_since:
            return f"its last event happened on {last_at:%Y-%m-%d %H:%M}: {_REPEATED}"
        return None


_REPEATED: Final = "requests about it may still be repeated"
_LAST_SEQ: Final = "SELECT last_seq FROM event_counter"
_REACTION: Final = "SELECT name, position FROM reactions ORDER BY position LIMIT 1"
_TASK: Final = "SELECT kind, id, created_seq FROM tasks ORDER BY created_seq LIMIT 1"
_DIFFERENCES: Final = "SELECT count(*) FROM suspects WHERE differs_since IS NOT NULL"
_UNSEEN: Final = """
    SELECT count(*) FROM suspects WHERE differs_since IS NULL AND table_name IN ('events', 'commands')
"""


async def limit_of(connection: asyncpg.Connection[Any]) -> Limit:
    """The lowest limit: of verification, a reaction, a task, an open difference, or a suspect (which could no longer be
    compared once it is archived)."""
    folded = position(await connection.fetchrow(POSITION)).seq
    limits = [Limit(folded, f"background processes have verified the log only up to seq {folded}")]
    if reaction := await connection.fetchrow(_REACTION):
        name, seq = reaction
        limits.append(Limit(seq, f"the reaction `{name}` has only reached seq {seq}"))
    if task := await connection.fetchrow(_TASK):
        kind, task_id, seq = task
        limits.append(Limit(seq - 1, f"the {kind} task {task_id} of seq {seq} is not done"))
    if count := await connection.fetchval(_DIFFERENCES):
        limits.append(Limit(0, f"{count} rows differ from the log: find out why, and repair them first"))
    if count := await connection.fetchval(_UNSEEN):
        limits.append(
            Limit(0, f"{count} events or commands were written by hand and have not been checked in the background yet")
        )
    return min(limits)


async def why_events_stay(connection: asyncpg.Connection[Any], partition: Partition, asked: Asked) -> str | None:
    """Why a partition of events is not archived; None if it may and should be."""
    last_seq = partition.end - 1
    if last_seq >= await connection.fetchval(_LAST_SEQ):
        return "the log has not passed it yet"
    if (limit := await limit_of(connection)).seq < last_seq:
        return limit.because
    last_at = await connection.fetchval("SELECT occurred_at FROM events WHERE seq = $1", last_seq)
    if last_at is None:
        return f"its last event, seq {last_seq}, is missing"
    return asked.refuses(last_seq, last_at)


async def why_commands_stay(
    connection: asyncpg.Connection[Any], partition: Partition, first_seq: int, asked: Asked
) -> str | None:
    """Why a partition of commands is not archived, if the log begins at that seq; None if it may be. Commands are
    archived after their events."""
    if partition.end > asked.young_since.timestamp() * 1_000:
        return _REPEATED.replace("it", "its commands")
    last_seq = await connection.fetchval(f"SELECT max(seq + event_count - 1) FROM {partition.name}")  # noqa: S608 - ours
    if last_seq is not None and last_seq >= first_seq:
        return f"the events of its commands, up to seq {last_seq}, are not archived"
    return None
