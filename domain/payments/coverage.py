"""What an order's payments mean for the order: how much of it is paid, and how much may still be asked for.

Everything is in minor units of the order's currency. `total_minor` is what the order costs, less what staff decided to
give back of it.
"""

from collections.abc import Iterable
from typing import Final

from domain.payments.payment import Payment
from domain.payments.rules import is_requested

NONE: Final = "none"
PARTIAL: Final = "partial"
FULL: Final = "full"
OVERCHARGED: Final = "overcharged"


def kept(payments: Iterable[Payment]) -> int:
    """What is charged and was not given back."""
    return sum(now.charged - now.refunded for now in (payment.amounts for payment in payments))


def secured(payments: Iterable[Payment]) -> int:
    """What is there: kept, or authorized and still to be captured, or being captured. What the provider is asked to let
    go is not, until it says that it does not."""
    total = 0
    for payment in payments:
        now = payment.amounts
        captured = now.charge_pending if now.authorized else 0
        capturable = 0 if is_requested(payment, "cancel") else payment.capturable
        total += now.charged - now.refunded + capturable + captured
    return total


def expected(payments: Iterable[Payment]) -> int:
    """What is there, or may come of what a buyer was asked for and nobody has answered yet."""
    total = 0
    for payment in payments:
        now = payment.amounts
        total += now.charged - now.refunded + payment.capturable + now.charge_pending + now.authorize_pending
    return total


def due(total_minor: int, payments: Iterable[Payment]) -> int:
    """How much a new payment may be for: nothing for which another one may still succeed is asked for twice."""
    return max(0, total_minor - expected(payments))


def charge_status(total_minor: int, payments: Iterable[Payment]) -> str:
    """How much of the order is charged: none, partial, full or overcharged."""
    paid = kept(payments)
    return OVERCHARGED if paid > total_minor else _how_much(paid, total_minor)


def authorize_status(total_minor: int, payments: Iterable[Payment]) -> str:
    """How much of the order is authorized or charged: none, partial or full."""
    return _how_much(secured(payments), total_minor)


def _how_much(there: int, total_minor: int) -> str:
    if there >= total_minor:
        return FULL
    return PARTIAL if there > 0 else NONE
