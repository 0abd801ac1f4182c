"""Checks commands and their outcomes, all of them in one query."""

from __future__ import annotations

from typing import Final

from ops.verify.snapshot import Snapshot
from runtime.proof.outcomes import different, tell
from runtime.proof.report import Progress, Report
from runtime.proof.stored import Position

_DIFFERENT: Final = different("seq > $1", "seq > $1 OR id IN (SELECT command_id FROM left_by)")


async def check_outcomes(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Compares every record after the base with the events that its command left."""
    async for block in snapshot.blocks(_DIFFERENT, base.seq):
        for row in block:
            tell(row, report)
    counts = await snapshot.rows("SELECT status, count(*) FROM commands GROUP BY status")
    total = 0
    for status, count in counts:
        report.counts[f"commands_{status}"] = count
        total += count
    report.counts["commands"] = total
    progress("outcomes", total, total)
