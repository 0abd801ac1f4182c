"""Commands and their outcomes: each applied once, each with its own events, each event with its command."""

from __future__ import annotations

from typing import Final

import asyncpg

from domain.refusals import CommandFailed, CommandRejected, CommandRepeated
from ops.verify.report import Progress, Report
from ops.verify.snapshot import Snapshot
from runtime.records import APPLIED, FAILED, REJECTED, REPEATED

_STATUS_OF_TYPE: Final = {
    CommandRejected.type: REJECTED,
    CommandFailed.type: FAILED,
    CommandRepeated.type: REPEATED,
}

# Any event other than the three above was caused by an applied command.
_DIFFERENT: Final = f"""
    WITH left_by AS (
        SELECT command_id, min(seq) AS first, max(seq) AS last, count(*) AS events, min(actor) AS actor,
            min(CASE type {" ".join(f"WHEN '{t}' THEN '{s}'" for t, s in _STATUS_OF_TYPE.items())} ELSE '{APPLIED}' END)
                AS status
        FROM events GROUP BY command_id
    )
    SELECT c.id AS command_id, e.command_id AS event_command_id, c.status, e.status AS log_status, c.seq,
        e.first, e.last, c.event_count, e.events, c.principal, e.actor
    FROM commands c FULL JOIN left_by e ON e.command_id = c.id
    WHERE c.id IS NULL OR e.command_id IS NULL OR c.status <> e.status OR c.seq <> e.first
        OR c.event_count <> e.events OR e.last - e.first + 1 <> e.events OR c.principal <> e.actor
"""  # noqa: S608 - only our own constants go in


async def check_outcomes(snapshot: Snapshot, report: Report, progress: Progress) -> None:
    """Compares every command's record with the events it left."""
    async for block in snapshot.blocks(_DIFFERENT):
        for row in block:
            _tell(row, report)
    counts = await snapshot.rows("SELECT status, count(*) FROM commands GROUP BY status")
    total = 0
    for status, count in counts:
        report.counts[f"commands_{status}"] = count
        total += count
    report.counts["commands"] = total
    progress("outcomes", total, total)


def _tell(row: asyncpg.Record, report: Report) -> None:
    command_id = str(row["command_id"] or row["event_command_id"])
    if row["command_id"] is None:
        report.differ("outcomes", command_id, "left events but has no record", seq=row["first"])
    elif row["event_command_id"] is None:
        report.differ("outcomes", command_id, "has a record but left no event", seq=row["seq"])
    elif row["events"] > row["event_count"]:
        report.differ("outcomes", command_id, "was applied more than once", first=row["first"], last=row["last"])
    else:
        report.differ(
            "outcomes",
            command_id,
            "the record differs from the log",
            record=[row["status"], row["seq"], row["event_count"], row["principal"]],
            log=[row["log_status"], row["first"], row["events"], row["actor"]],
        )
