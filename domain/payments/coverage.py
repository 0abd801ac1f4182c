"""What an order's payments mean for the order: how much of it is paid, and how much may still be requested.

Everything is in minor units of the order's currency. What an order costs, less what was refunded of it, is `owed`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from domain.model import Order
from domain.orders import CONFIRMED, FULFILLED
from domain.payments.payment import Payment
from domain.payments.rules import is_requested

NONE: Final = "none"
PARTIAL: Final = "partial"
FULL: Final = "full"
OVERCHARGED: Final = "overcharged"


def kept(payments: Iterable[Payment]) -> int:
    """What is charged and has not been refunded."""
    return sum(now.charged - now.refunded for now in (payment.amounts for payment in payments))


def given_back(total_minor: int, payments: Sequence[Payment]) -> int:
    """How much of the total has been paid and refunded. Refunds of what was paid beyond the total do not count, nor
    does what a bank has taken back as well."""
    refunded = sum(payment.amounts.refunded for payment in payments)
    return max(0, min(refunded, total_minor, total_minor - kept(payments)))


def owed(order: Order, payments: Sequence[Payment]) -> int:
    """What the order costs, less what has been refunded of it, which need not be paid again. An order that waits for
    its payment still owes the whole total, whatever was paid and refunded before."""
    if order.status in (CONFIRMED, FULFILLED):
        return order.total_minor - given_back(order.total_minor, payments)
    return order.total_minor


def secured(payments: Iterable[Payment]) -> int:
    """What is secured: kept, authorized and not yet captured, or being captured. What a provider has been asked to
    release does not count, unless it reports that it did not release it."""
    total = 0
    for payment in payments:
        now = payment.amounts
        captured = now.charge_pending if now.authorized else 0
        capturable = 0 if is_requested(payment, "cancel") else payment.capturable
        total += now.charged - now.refunded + capturable + captured
    return total


def expected(payments: Iterable[Payment]) -> int:
    """What is secured, or may still come of pending attempts."""
    total = 0
    for payment in payments:
        now = payment.amounts
        total += now.charged - now.refunded + payment.capturable + now.charge_pending + now.authorize_pending
    return total


def due(owed_minor: int, payments: Iterable[Payment]) -> int:
    """How much a new payment may be for: nothing that a pending payment may still cover is requested twice."""
    return max(0, owed_minor - expected(payments))


def charge_status(owed_minor: int, payments: Iterable[Payment]) -> str:
    """How much of the order is charged: none, partial, full or overcharged."""
    paid = kept(payments)
    return OVERCHARGED if paid > owed_minor else _how_much(paid, owed_minor)


def authorize_status(owed_minor: int, payments: Iterable[Payment]) -> str:
    """How much of the order is authorized or charged: none, partial or full."""
    return _how_much(secured(payments), owed_minor)


def _how_much(there: int, owed_minor: int) -> str:
    if there >= owed_minor:
        return FULL
    return PARTIAL if there > 0 else NONE
