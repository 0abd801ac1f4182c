"""What a batch does to orders, checkouts and payments, for the metrics of the shop: counted once it is committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from domain.checkouts import (
    CANCELLED,
    COMPLETED,
    EXPIRED,
    OPEN,
    CheckoutCancelled,
    CheckoutCompleted,
    CheckoutExpired,
    CheckoutOpened,
)
from domain.completion import CompleteCheckout
from domain.model import Event
from domain.orders import PLACED, TRANSITIONS, OrderPlaced, PlaceOrder
from domain.payments.amounts import Change
from domain.payments.by_card import CardHeld, CardMoved
from domain.payments.entries import Entry
from domain.payments.events import PaymentCreated, PaymentReported, PaymentRequested
from domain.quote.basket import GIFT_CARD, STORE_CREDIT
from runtime.metrics import (
    CHECKOUTS,
    CHECKOUTS_REFUSED,
    ORDERS,
    ORDERS_REFUSED,
    PAID_MINOR,
    PAYMENT_ENTRIES,
    REVENUE,
    ClosedCounter,
)
from runtime.payments.registry import PROVIDERS

PAYMENT_ENTRIES.allow(provider=(*PROVIDERS, GIFT_CARD, STORE_CREDIT))

_OUTCOMES: Final[dict[type[Event], tuple[ClosedCounter, str]]] = {
    OrderPlaced: (ORDERS, PLACED),
    **{event: (ORDERS, transition.target) for event, transition in TRANSITIONS.items()},
    CheckoutOpened: (CHECKOUTS, OPEN),
    CheckoutCompleted: (CHECKOUTS, COMPLETED),
    CheckoutCancelled: (CHECKOUTS, CANCELLED),
    CheckoutExpired: (CHECKOUTS, EXPIRED),
}
_REFUSED: Final = {PlaceOrder.__name__: ORDERS_REFUSED, CompleteCheckout.__name__: CHECKOUTS_REFUSED}


class Tally:
    """The tally of one batch. Deciding only notes what happened; counting comes after the commit, when nobody waits."""

    __slots__ = ("_events", "_refused")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._refused: list[tuple[str, str]] = []

    def tell(self, events: Sequence[Event]) -> None:
        """Notes events that happened."""
        self._events += events

    def refuse(self, kind: str, code: str) -> None:
        """Notes that a rule rejected a command of this type."""
        if kind in _REFUSED:
            self._refused.append((kind, code))

    def count(self) -> None:
        """Adds the tally to the metrics."""
        by_type = Counter(map(type, self._events))
        for event_type, number in by_type.items():
            if (outcome := _OUTCOMES.get(event_type)) is not None:
                counter, name = outcome
                counter.labels(name).inc(number)
        for (kind, code), number in Counter(self._refused).items():
            _REFUSED[kind].labels(code).inc(number)
        if OrderPlaced in by_type:
            self._count_revenue()
        if not by_type.keys().isdisjoint(_OF_PAYMENTS):
            self._count_payments()

    def _count_revenue(self) -> None:
        revenue: dict[str, int] = {}
        for event in self._events:
            if type(event) is OrderPlaced:
                revenue[event.currency] = revenue.get(event.currency, 0) + event.total_minor
        for currency, minor in revenue.items():
            REVENUE.labels(currency).inc(minor)

    def _count_payments(self) -> None:
        entries, moved = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for event in self._events:
            if isinstance(event, _OF_PAYMENTS):
                told = event.entries if isinstance(event, PaymentReported) else (event.entry,)
                entries.update((event.provider, entry.type) for entry in told if _counts(entry))
            if isinstance(event, PaymentReported | CardMoved) and event.change is not None:
                for what, minor in _parts(event.change):
                    moved[event.change.currency, what] += minor
        for (provider, entry_type), number in entries.items():
            PAYMENT_ENTRIES.labels(provider, entry_type).inc(number)
        for (currency, what), minor in moved.items():
            PAID_MINOR.labels(currency, what).inc(minor)


_OF_PAYMENTS: Final = (PaymentCreated, PaymentRequested, PaymentReported, CardHeld, CardMoved)


def _counts(entry: Entry) -> bool:
    """Whether the entry counts towards the payment's amounts: one without a reference is only a note."""
    return entry.reference is not None


def _parts(change: Change) -> Iterator[tuple[str, int]]:
    """A change as amounts for counters, which only grow."""
    for minor, more, less in (
        (change.charged_minor, "charged", "charged_back"),
        (change.refunded_minor, "refunded", "refund_reversed"),
    ):
        if minor:
            yield (more if minor > 0 else less), abs(minor)
