"""Orders and their lines, each folded from its own events and compared with its rows.

Three streams sorted by order id are walked side by side; only one order is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain.model import EVENTS, Event, Order, Shop, evolve
from domain.orders import CANCELLED, CONFIRMED, EXPIRED, FULFILLED, PLACED, OrderCancelled, OrderPlaced
from runtime.verify.report import Progress, Report
from runtime.verify.streams import Groups, stream

_PROGRESS_ORDERS: Final = 10_000

# As text in byte order, ids sort as uuids do.
_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq FROM events
    WHERE type LIKE 'order.%' ORDER BY subject COLLATE "C", seq
"""
_ORDERS: Final = """
    SELECT id::text, customer_id, status, currency, total_minor, email, placed_at, updated_at, placed_seq FROM orders
    ORDER BY id
"""
_LINES: Final = """
    SELECT order_id::text, position, sku, quantity, unit_price_minor FROM order_lines ORDER BY order_id, position
"""


# From which status an order may go where. The fold itself would take it anywhere.
_MOVES: Final = {
    PLACED: {CONFIRMED, CANCELLED, EXPIRED},
    CONFIRMED: {FULFILLED, CANCELLED},
}


async def check_orders(connection: asyncpg.Connection[Any], report: Report, progress: Progress) -> None:
    """Compares every order with its events, and finds orders and lines that have none."""
    total: int = await connection.fetchval("SELECT count(*) FROM orders")
    events, orders, lines = (Groups(stream(connection, query)) for query in (_EVENTS, _ORDERS, _LINES))
    done = 0
    while keys := [key for key in (await events.key(), await orders.key(), await lines.key()) if key is not None]:
        order_id = min(keys)
        _compare(order_id, await events.take(order_id), await orders.take(order_id), await lines.take(order_id), report)
        done += 1
        if done % _PROGRESS_ORDERS == 0:
            progress("orders", done, total)
    report.counts["orders"] = total
    progress("orders", total, total)


def _compare(
    order_id: str,
    said: Sequence[asyncpg.Record],
    rows: Sequence[asyncpg.Record],
    lines: Sequence[asyncpg.Record],
    report: Report,
) -> None:
    if not said:
        report.differ("orders", order_id, "has no event", rows=len(rows), lines=len(lines))
        return
    folded = _fold(order_id, said, report)
    if folded is None:
        return
    if not rows:
        report.differ("orders", order_id, "is in the log but not in the table")
        return
    expected = (
        folded.customer_id,
        folded.status,
        folded.currency,
        folded.total_minor,
        folded.email,
        said[0]["occurred_at"],
        said[-1]["occurred_at"],
        said[0]["seq"],
    )
    found = tuple(rows[0])[1:]
    if found != expected:
        report.differ(
            "orders", order_id, "the table does not say what the log says", table=_text(found), log=_text(expected)
        )
    if folded.total_minor != sum(line.quantity * line.unit_price_minor for line in folded.lines):
        report.differ("orders", order_id, "has another total than its lines", total_minor=folded.total_minor)
    expected_lines = [(at, *msgspec.structs.astuple(line)) for at, line in enumerate(folded.lines)]
    found_lines = [tuple(line)[1:] for line in lines]
    if found_lines != expected_lines:
        report.differ("lines", order_id, "are not what the log says", table=found_lines, log=expected_lines)


def _fold(order_id: str, said: Sequence[asyncpg.Record], report: Report) -> Order | None:
    shop = Shop()
    placed = 0
    for _, event_type, data, *_ in said:
        try:
            event: Event = msgspec.json.decode(data, type=EVENTS[event_type])
        except (KeyError, msgspec.MsgspecError):
            return None  # the log's own check has said so
        before = shop.orders.get(UUID(order_id))
        evolve(shop, event)
        if isinstance(event, OrderPlaced):
            placed += 1
        elif before is not None and not _is_move(before, event, shop.orders[before.order_id]):
            report.differ("orders", order_id, "made a move that it could not make", status=before.status, event=data)
    if placed != 1:
        report.differ("orders", order_id, "was placed another number of times than once", times=placed)
    return shop.orders.get(UUID(order_id))


def _is_move(before: Order, event: Event, after: Order) -> bool:
    """Whether the event is one that such an order may have, and tells of its own lines."""
    if isinstance(event, OrderCancelled) and event.confirmed != (before.status == CONFIRMED):
        return False
    return after.status in _MOVES.get(before.status, ()) and getattr(event, "lines", before.lines) == before.lines


def _text(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]
