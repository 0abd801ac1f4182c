"""What a batch does, counted for the metrics of the shop: payments, money and checkouts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from domain.checkouts import CheckoutExpired
from domain.completion import CompleteCheckout
from domain.model import Event
from domain.orders import PlaceOrder
from domain.payments.amounts import Change
from domain.payments.entries import Entry, EntryType
from domain.payments.events import PaymentCreated, PaymentReported, PaymentRequested
from domain.payments.payment import Capabilities
from workers.tally import Tally

ID = UUID(int=1)
ENTRIES, MINOR = "tidegate_payment_entries_total", "tidegate_paid_minor_total"


def entry(type_: EntryType, reference: str | None = "r") -> Entry:
    return Entry(type_, reference, 300, datetime(2026, 11, 22, tzinfo=UTC))


def reported(*types: EntryType, change: Change | None = None, provider: str = "sandbox") -> PaymentReported:
    return PaymentReported(ID, ID, "ann", provider, tuple(map(entry, types)), change=change)


def count(events: Sequence[Event]) -> None:
    tally = Tally()
    tally.tell(events)
    tally.count()


class Counted:
    """By how much a sample has grown since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._sample = name, labels
        self._before = self._value()

    def _value(self) -> float:
        return REGISTRY.get_sample_value(*self._sample) or 0.0

    def __call__(self) -> float:
        return self._value() - self._before


def test_what_was_requested_and_reported_is_counted_by_provider_and_type() -> None:
    requested, declined, captured, refund = (
        Counted(ENTRIES, provider="sandbox", type=type_)
        for type_ in ("charge_request", "charge_failure", "charge_success", "refund_request")
    )
    created = PaymentCreated(ID, ID, "ann", "sandbox", 300, "GBP", "automatic", Capabilities(), entry("charge_request"))
    count([created, reported("charge_failure"), reported("charge_failure", "charge_success")])
    count([PaymentRequested(ID, ID, "ann", "sandbox", entry("refund_request"))])
    assert (requested(), declined(), captured(), refund()) == (1, 2, 1, 1)


def test_what_has_no_reference_is_only_a_note() -> None:
    noted = Counted(ENTRIES, provider="sandbox", type="info")
    count([PaymentReported(ID, ID, "ann", "sandbox", (entry("info", None),))])
    assert noted() == 0


def test_a_provider_that_is_not_ours_makes_no_series() -> None:
    other = Counted(ENTRIES, provider="other", type="charge_success")
    count([reported("charge_success", provider="made up")])
    assert other() == 1
    assert REGISTRY.get_sample_value(ENTRIES, {"provider": "made up", "type": "charge_success"}) is None


@pytest.mark.parametrize(
    ("change", "grown"),
    [
        (Change("GBP", 300, 0), {"charged": 300}),
        (Change("GBP", -300, 0), {"charged_back": 300}),
        (Change("GBP", 0, 120), {"refunded": 120}),
        (Change("GBP", 300, -120), {"charged": 300, "refund_reversed": 120}),
        (None, {}),
    ],
)
def test_money_is_counted_in_amounts_that_only_grow(change: Change | None, grown: dict[str, int]) -> None:
    kinds = ("charged", "charged_back", "refunded", "refund_reversed")
    counted = {kind: Counted(MINOR, currency="GBP", change=kind) for kind in kinds}
    euros = Counted(MINOR, currency="EUR", change="charged")
    count([reported("charge_success", change=change)])
    assert {kind: minor() for kind, minor in counted.items() if minor()} == grown
    assert euros() == 0


def test_checkouts_are_counted_and_their_refusals_by_code() -> None:
    expired = Counted("tidegate_checkouts_total", outcome="expired")
    short, other = (
        Counted("tidegate_checkouts_refused_total", reason=reason) for reason in ("insufficient_stock", "other")
    )
    of_orders = Counted("tidegate_orders_refused_total", reason="insufficient_stock")
    tally = Tally()
    tally.tell([CheckoutExpired(ID, "ann")])
    tally.refuse(CompleteCheckout.__name__, "insufficient_stock")
    tally.refuse(CompleteCheckout.__name__, "made_up")
    tally.refuse("OpenCheckout", "insufficient_stock")
    tally.count()
    assert (expired(), short(), other(), of_orders()) == (1, 1, 1, 0)


def test_quick_orders_are_refused_for_what_the_terms_say_as_well() -> None:
    incomplete = Counted("tidegate_orders_refused_total", reason="checkout_incomplete")
    tally = Tally()
    tally.refuse(PlaceOrder.__name__, "checkout_incomplete")
    tally.count()
    assert incomplete() == 1
