"""Commands and their outcomes: each applied once, each with its own events, each event with its command. Postgres
compares them, since nearly all agree.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from domain.refusals import CommandFailed, CommandRejected, CommandRepeated
from runtime.proof.report import Report
from runtime.records import APPLIED, FAILED, REJECTED, REPEATED

_STATUS_OF_TYPE: Final = {
    CommandRejected.type: REJECTED,
    CommandFailed.type: FAILED,
    CommandRepeated.type: REPEATED,
}

# Any event other than the three above was caused by an applied command.
_CASES: Final = " ".join(f"WHEN '{kind}' THEN '{status}'" for kind, status in _STATUS_OF_TYPE.items())
_STATUS: Final = f"CASE type {_CASES} ELSE '{APPLIED}' END"


def different(events: str, commands: str) -> str:
    """The query for differences between some events and some records of commands, both selected by SQL conditions; the
    one on `commands` may use `left_by`, which has the command ids of the selected events."""
    return f"""
        WITH left_by AS MATERIALIZED (
            SELECT command_id, min(seq) AS first, max(seq) AS last, count(*) AS events, min(actor) AS actor,
                min({_STATUS}) AS status
            FROM events WHERE {events} GROUP BY command_id
        )
        SELECT c.id AS command_id, e.command_id AS event_command_id, c.status, e.status AS log_status, c.seq,
            e.first, e.last, c.event_count, e.events, c.principal, e.actor
        FROM (SELECT id, status, seq, event_count, principal FROM commands WHERE {commands}) c
            FULL JOIN left_by e ON e.command_id = c.id
        WHERE c.id IS NULL OR e.command_id IS NULL OR c.status <> e.status OR c.seq <> e.first
            OR c.event_count <> e.events OR e.last - e.first + 1 <> e.events OR c.principal <> e.actor
    """  # noqa: S608 - only our own constants go in


def tell(row: asyncpg.Record, report: Report) -> None:
    """Reports a row of that query."""
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
