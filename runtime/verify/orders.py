"""Orders and their lines, each folded from its own events and compared with its rows. Where a guest wants mail, the log
does not know: of that it can only be said that it is an address, or gone.

Three streams sorted by order id are walked side by side; only one order is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from domain.fields.people import canonical_email
from domain.model import EVENTS, Event, Order, Shop, evolve
from domain.orders import CONFIRMED, MOVES, OrderCancelled, OrderPlaced
from runtime import orders
from runtime.verify.report import Progress, Report
from runtime.verify.streams import Groups, stream

_PROGRESS_ORDERS: Final = 10_000

# As text in byte order, ids sort as uuids do.
_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq FROM events
    WHERE type LIKE 'order.%' ORDER BY subject COLLATE "C", seq
"""
_ORDERS: Final = f"""
    SELECT id::text, {", ".join(orders.COLUMNS[1:])}, placed_at, updated_at, placed_seq FROM orders
    ORDER BY orders.id
"""  # noqa: S608 - names of ours
_LINES: Final = """
    SELECT order_id::text, position, sku, quantity, unit_price_minor FROM order_lines
    ORDER BY order_lines.order_id, position
"""


class _Folded(NamedTuple):
    """An order as the log has it, when it was placed, when it last became another, and the seq of its placing."""

    order: Order
    placed_at: datetime
    updated_at: datetime
    placed_seq: int


async def check_orders(connection: asyncpg.Connection[Any], report: Report, progress: Progress) -> None:
    """Compares every order with its events, and finds orders and lines that have none."""
    total: int = await connection.fetchval("SELECT count(*) FROM orders")
    events, rows, lines = (Groups(stream(connection, query)) for query in (_EVENTS, _ORDERS, _LINES))
    done = 0
    while keys := [key for key in (await events.key(), await rows.key(), await lines.key()) if key is not None]:
        order_id = min(keys)
        _compare(order_id, await events.take(order_id), await rows.take(order_id), await lines.take(order_id), report)
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
    order = folded.order
    expected = (*_told(orders.row(order))[1:], folded.placed_at, folded.updated_at, folded.placed_seq)
    email, found = rows[0]["email"], _told(tuple(rows[0]))[1:]
    if email is not None and canonical_email(email) is None:
        report.differ("orders", order_id, "has an e-mail address that can be none")
    if found != expected:
        report.differ(
            "orders", order_id, "the table does not say what the log says", table=_text(found), log=_text(expected)
        )
    if order.total_minor != sum(line.quantity * line.unit_price_minor for line in order.lines):
        report.differ("orders", order_id, "has another total than its lines", total_minor=order.total_minor)
    expected_lines = [(at, *msgspec.structs.astuple(line)) for at, line in enumerate(order.lines)]
    found_lines = [tuple(line)[1:] for line in lines]
    if found_lines != expected_lines:
        report.differ("lines", order_id, "are not what the log says", table=found_lines, log=expected_lines)


def _fold(order_id: str, said: Sequence[asyncpg.Record], report: Report) -> _Folded | None:
    shop, key = Shop(), UUID(order_id)
    folded: _Folded | None = None
    placed = 0
    for _, event_type, data, at, seq in said:
        try:
            event: Event = msgspec.json.decode(data, type=EVENTS[event_type])
        except (KeyError, msgspec.MsgspecError):
            return None  # the log's own check has said so
        evolve(shop, event)
        placed += isinstance(event, OrderPlaced)
        order = shop.orders.get(key)
        if order is None:
            continue  # it was never placed, as is said below
        if folded is None:
            folded = _Folded(order, at, at, seq)
        elif order is not folded.order:
            before, folded = folded.order, folded._replace(order=order, updated_at=at)
            if not _may_follow(before, event, order):
                report.differ(
                    "orders", order_id, "made a move that it could not make", status=before.status, event=data
                )
    if placed != 1:
        report.differ("orders", order_id, "was placed another number of times than once", times=placed)
    return folded


def _may_follow(before: Order, event: Event, after: Order) -> bool:
    """Whether such an order may become the other by the event. One that moves it tells of its own lines."""
    if isinstance(event, OrderPlaced):
        return True  # once too often, as is said elsewhere
    move = MOVES.get(type(event))
    if move is None:
        return after.status == before.status
    if isinstance(event, OrderCancelled) and event.confirmed != (before.status == CONFIRMED):
        return False
    said_lines = getattr(event, "lines", before.lines)
    return before.status in move.sources and after.status == move.target and said_lines == before.lines


def _told(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of the values of a row those that the log knows."""
    return tuple(None if place in orders.PRIVATE_PLACES else value for place, value in enumerate(row))


def _text(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]
