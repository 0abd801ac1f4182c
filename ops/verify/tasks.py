"""The outbox: every task matches the event that it names, and may be run only if no earlier one of its subject is left;
and every unfinished job has its task."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain.jobs import QUEUED
from domain.tasks import follows_from, tasks_of
from ops.verify.snapshot import Snapshot
from runtime.proof.report import Progress, Report
from runtime.proof.stored import Position
from runtime.records import read_event

_TASKS: Final = """
    SELECT t.id, t.kind, t.subject, t.payload::text, t.created_seq, t.blocked,
        e.type, e.version, e.data::text, e.command_id,
        EXISTS (SELECT FROM tasks o WHERE o.subject = t.subject AND (o.created_seq, o.id) < (t.created_seq, t.id))
            AS follows
    FROM tasks t LEFT JOIN events e ON e.seq = t.created_seq ORDER BY t.created_seq, t.id
"""

_JOBS_WITHOUT: Final = """
    SELECT j.id, j.kind FROM jobs j WHERE j.status = $1
        AND NOT EXISTS (SELECT FROM tasks t WHERE t.subject = j.id::text AND t.kind = j.kind)
"""


async def check_tasks(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Compares every task with its event, whatever the base, and finds jobs that nobody will run."""
    (total,) = await snapshot.row("SELECT count(*) FROM tasks")
    done = 0
    async for block in snapshot.blocks(_TASKS):
        for row in block:
            _check(row, report)
        done += len(block)
        progress("tasks", done, total)
    async for block in snapshot.blocks(_JOBS_WITHOUT, QUEUED):
        for job_id, kind in block:
            report.differ("tasks", str(job_id), "an unfinished job has no task", kind=kind)
    report.counts["tasks"] = total
    progress("tasks", total, total)


def _check(row: asyncpg.Record, report: Report) -> None:
    subject, seq = str(row["id"]), row["created_seq"]
    if row["type"] is None:
        report.differ("tasks", subject, "its event does not exist", seq=seq)
        return
    try:
        event = read_event(row["type"], row["version"], row["data"])
    except (KeyError, msgspec.MsgspecError):
        return  # which the log's own check reports
    said = [(task.kind, task.subject, _as_stored(task.payload)) for task in tasks_of(event)]
    found = (row["kind"], row["subject"], msgspec.json.decode(row["payload"]))
    if found not in said:
        report.differ("tasks", subject, "does not match its event", seq=seq, task=found, event=said)
    elif not follows_from(UUID(int=row["id"].int), UUID(int=row["command_id"].int)):
        report.differ("tasks", subject, "does not have the id that follows from its command", seq=seq)
    if row["follows"] and not row["blocked"]:
        report.differ("tasks", subject, "may be run before an earlier one of its subject", seq=seq)


def _as_stored(payload: dict[str, Any]) -> Any:
    """The payload after a round trip through JSON, which has no tuples."""
    return msgspec.json.decode(msgspec.json.encode(payload))
