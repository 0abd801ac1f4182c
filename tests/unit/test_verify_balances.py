"""`verify` finds a balance that was overdrawn at some moment of the log, even if it was right in the end."""

import uuid

from domain.model import Event, Line
from domain.orders import OrderCancelled, OrderPlaced
from domain.stock import StockReceived
from runtime.proof.balances import Balances
from runtime.proof.parts import Part
from runtime.proof.report import Report

_LINES = (Line("MUG", 3, 100),)
_PLACED = OrderPlaced(uuid.UUID(int=1), "ann", "GBP", 300, _LINES)
_CANCELLED = OrderCancelled(uuid.UUID(int=1), "ann", _LINES)


def _found(*events: Event) -> list[tuple[str, str, str, int]]:
    report = Report()
    balances = Balances(report, Part(0, 1))
    for seq, event in enumerate(events, start=1):
        balances.follow(seq, event.moves())
    return [(each["check"], each["subject"], each["problem"], each["seq"]) for each in report.differences]


def test_an_excess_reservation_is_found_where_it_happened() -> None:
    received = StockReceived("MUG", 2), StockReceived("MUG", 1)
    assert _found(received[0], _PLACED, received[1], _CANCELLED) == [("stock", "MUG", "overdrawn", 2)]
    assert _found(*received, _PLACED, _CANCELLED) == []


def test_an_excess_release_is_found() -> None:
    assert _found(StockReceived("MUG", 3), _CANCELLED) == [("stock", "MUG", "overdrawn", 2)]
