"""Orders and their lines, each folded from its own events and compared with its rows. A guest's e-mail address is not
in the log: it can only be checked to be an address, or absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from domain.fields.people import canonical_email
from domain.model import Event, Line, Order, Shop, evolve_entities
from domain.orders import CONFIRMED, TRANSITIONS, OrderCancelled, OrderPlaced
from runtime import orders
from runtime.proof.report import Report
from runtime.records import read_event

ROW: Final = f"id::text, {', '.join(orders.COLUMNS[1:])}, placed_at, updated_at, placed_seq"
"""The columns of `orders` that are compared."""

# As separate rows they would take longer than everything else.
LINES: Final = """
    order_id::text, min(position), max(position),
        '[' || string_agg('{"sku":' || to_json(sku) || ',"quantity":' || quantity
            || ',"unit_price_minor":' || unit_price_minor || '}', ',' ORDER BY position) || ']'
"""
"""What is compared of the rows of `order_lines`, grouped by `order_lines.order_id`. Positions are unique."""

_IN_LOG: Final = [place for place in range(1, len(orders.FIELDS)) if place not in orders.PRIVATE_PLACES]
_MOMENTS: Final = range(len(orders.FIELDS), len(orders.FIELDS) + 3)
_of_row: Final[Callable[[Sequence[Any]], tuple[Any, ...]]] = itemgetter(*_IN_LOG, *_MOMENTS)
_of_order: Final[Callable[[Order], tuple[Any, ...]]] = attrgetter(*(orders.FIELDS[place] for place in _IN_LOG))

_json: Final = msgspec.json.Encoder()
_lines: Final = msgspec.json.Decoder(tuple[Line, ...])


class FoldedOrder(NamedTuple):
    """An order according to the log, when it was placed, when it last changed, and the seq of its placing."""

    order: Order
    placed_at: datetime
    updated_at: datetime
    placed_seq: int


def compare_order(
    order_id: str,
    folded: FoldedOrder | None,
    rows: Sequence[asyncpg.Record],
    lines: Sequence[asyncpg.Record],
    report: Report,
) -> None:
    """Compares an order's row, if there is one, and its lines with the folded order; None stands for no order."""
    if folded is None:
        return
    if not rows:
        report.differ("orders", order_id, "is in the log but not in the table")
        return
    order = folded.order
    expected = (*_of_order(order), folded.placed_at, folded.updated_at, folded.placed_seq)
    email, found = rows[0]["email"], _of_row(rows[0])
    if email is not None and canonical_email(email) is None:
        report.differ("orders", order_id, "has an invalid e-mail address")
    if found != expected:
        report.differ("orders", order_id, "the table differs from the log", table=_text(found), log=_text(expected))
    if order.total_minor != order.charges_minor + sum([line.quantity * line.unit_price_minor for line in order.lines]):
        report.differ("orders", order_id, "has a total that differs from its lines", total_minor=order.total_minor)
    _compare_lines(order_id, order.lines, lines, report)


def _compare_lines(order_id: str, said: Sequence[Line], rows: Sequence[asyncpg.Record], report: Report) -> None:
    """Compares the JSON texts first, which are nearly always equal. If they differ, compares the values, since JSON can
    write the same string in many ways."""
    _, first, last, text = rows[0] if rows else ("", 0, -1, "[]")
    in_place = first == 0 and last == len(said) - 1
    if in_place and text.encode() == _json.encode(said):
        return
    found = _lines.decode(text)
    if not in_place or found != said:
        report.differ(
            "lines",
            order_id,
            "differ from the log",
            positions=[first, last],
            table=[_text(msgspec.structs.astuple(line)) for line in found if line not in said],
            log=[_text(msgspec.structs.astuple(line)) for line in said if line not in found],
        )


class OrderFold:
    """Folds one order's events, starting from what was folded earlier, if anything. It is not `readable` if one of the
    events is unreadable, which the log's own check reports."""

    def __init__(self, order_id: str, report: Report, start: FoldedOrder | None = None) -> None:
        self.readable = True
        self._order_id = order_id
        self._report = report
        self._shop = Shop()
        self._key = UUID(order_id)
        self._folded = start
        self._placed = 0
        if start is not None:
            self._shop.orders[self._key] = start.order
            self._placed = 1
        self._told = self._placed

    def follow(self, row: asyncpg.Record) -> None:
        """Folds the order's next event, from a row: subject, type, data, moment, seq and version."""
        _, event_type, data, at, seq, version = row
        try:
            event = read_event(event_type, version, data)
        except (KeyError, msgspec.MsgspecError):
            self.take(None, at, seq)
        else:
            self.take(event, at, seq)

    def take(self, event: Event | None, at: datetime, seq: int) -> None:
        """Folds the order's next event; None stands for an unreadable one."""
        self._told += 1
        if event is None:
            self.readable = False
        if event is None or not self.readable:
            return
        evolve_entities(self._shop, event)
        self._placed += isinstance(event, OrderPlaced)
        order, folded = self._shop.orders.get(self._key), self._folded
        if order is None:
            return  # it was never placed, which is reported at the end
        if folded is None:
            self._folded = FoldedOrder(order, at, at, seq)
        elif order is not folded.order:
            self._folded = folded._replace(order=order, updated_at=at)
            if not _may_follow(folded.order, event, order):
                self._report.differ(
                    "orders",
                    self._order_id,
                    "made an impossible move",
                    status=folded.order.status,
                    event=event.type,
                )

    def end(self) -> FoldedOrder | None:
        """Ends the fold and returns the order."""
        if self._told == 0:
            self._report.differ("orders", self._order_id, "has no event")
        elif self.readable and self._placed != 1:
            self._report.differ("orders", self._order_id, "was not placed exactly once", times=self._placed)
        return self._folded if self.readable else None


def _may_follow(before: Order, event: Event, after: Order) -> bool:
    """Whether the event may turn the one order into the other. An event that moves stock must carry the order's own
    lines."""
    if isinstance(event, OrderPlaced):
        return True  # placed twice, which is reported elsewhere
    move = TRANSITIONS.get(type(event))
    if move is None:
        return after.status == before.status
    if isinstance(event, OrderCancelled) and event.confirmed != (before.status == CONFIRMED):
        return False
    said_lines = getattr(event, "lines", before.lines)
    return before.status in move.sources and after.status == move.target and said_lines == before.lines


def _text(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]
