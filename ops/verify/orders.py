"""Checks orders and their lines: streams sorted by order id are read in parallel, so that only a few blocks of each are
in memory.
"""

from __future__ import annotations

from typing import Final

from ops.verify.snapshot import Snapshot
from ops.verify.streams import least_key, nothing, started
from runtime.proof.orders import LINES, ROW, OrderFold, compare_order
from runtime.proof.report import Progress, Report
from runtime.proof.stored import ORDERS, Position, folded_order

_PROGRESS_ORDERS: Final = 10_000

# As text in byte order, ids sort like uuids.
_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq, version FROM events
    WHERE type LIKE 'order.%' AND seq > $1 ORDER BY subject COLLATE "C", seq
"""
_FOLDED: Final = f"{ORDERS} ORDER BY folded_orders.order_id"
_ORDERS: Final = f"SELECT {ROW} FROM orders ORDER BY orders.id"  # noqa: S608 - names of ours
_LINES: Final = f"""
    SELECT {LINES} FROM order_lines GROUP BY order_lines.order_id ORDER BY order_lines.order_id
"""  # noqa: S608 - names of ours


async def check_orders(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Compares every order with the fold: the stored one up to the base, and the events after it. Also finds orders and
    lines without events."""
    total: int = (await snapshot.row("SELECT count(*) FROM orders"))[0]
    before = snapshot.blocks(_FOLDED) if base.seq else nothing()
    after = snapshot.blocks(_EVENTS, base.seq)
    streams = await started(before, after, *(snapshot.blocks(query) for query in (_ORDERS, _LINES)))
    folded, events, rows, lines = streams
    done = 0
    while (order_id := least_key(streams)) is not None:
        begun = [folded_order(row) for row in await folded.take(order_id)]
        fold = OrderFold(order_id, report, begun[0] if begun else None)
        await events.each(order_id, fold.follow)
        compare_order(order_id, fold.end(), await rows.take(order_id), await lines.take(order_id), report)
        done += 1
        if done % _PROGRESS_ORDERS == 0:
            progress("orders", done, total)
    report.counts["orders"] = total
    progress("orders", total, total)
