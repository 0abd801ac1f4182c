"""What a batch does to orders, for the metrics of the shop: counted once it is committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from domain.model import Event
from domain.orders import PLACED, TRANSITIONS, OrderPlaced, PlaceOrder
from runtime.metrics import ORDERS, ORDERS_REFUSED, REVENUE

_OUTCOMES: Final[dict[type[Event], str]] = {
    OrderPlaced: PLACED,
    **{event: transition.target for event, transition in TRANSITIONS.items()},
}
_PLACE_ORDER: Final = PlaceOrder.__name__


class Tally:
    """The tally of one batch. Deciding only notes what happened: it is counted when nobody waits for the batch."""

    __slots__ = ("_events", "_refused")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._refused: list[str] = []

    def tell(self, events: Sequence[Event]) -> None:
        """These happened."""
        self._events += events

    def refuse(self, kind: str, code: str) -> None:
        """A rule refused a command of this type."""
        if kind == _PLACE_ORDER:
            self._refused.append(code)

    def count(self) -> None:
        """Adds it to the metrics."""
        for event_type, number in Counter(map(type, self._events)).items():
            if (outcome := _OUTCOMES.get(event_type)) is not None:
                ORDERS.labels(outcome).inc(number)
        for code, number in Counter(self._refused).items():
            ORDERS_REFUSED.labels(code).inc(number)
        revenue: dict[str, int] = {}
        for event in self._events:
            if type(event) is OrderPlaced:
                revenue[event.currency] = revenue.get(event.currency, 0) + event.total_minor
        for currency, minor in revenue.items():
            REVENUE.labels(currency).inc(minor)
