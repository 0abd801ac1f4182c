"""Checks what payments record of their orders: no event of theirs says it, a trigger does."""

from __future__ import annotations

from typing import Final

from ops.verify.snapshot import Snapshot
from runtime.proof.report import Progress, Report
from runtime.proof.stored import Position

_MISTOLD: Final = """
    SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id
    WHERE (p.order_ended_at IS NOT NULL) <> (o.status IN ('cancelled', 'expired')) ORDER BY p.id
"""


async def check_payments(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Finds payments that do not record whether their order was cancelled or has expired, whatever the base. Their
    amounts and states are compared as those of all entities are."""
    async for block in snapshot.blocks(_MISTOLD):
        for (payment_id,) in block:
            report.differ("payments", str(payment_id), "does not record whether its order has ended")
