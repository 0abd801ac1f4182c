"""Payments and checkouts: what happens to them, counted where it is applied."""

from typing import Final, get_args

from domain.checkouts import CHECKOUT_STATUSES
from domain.money import CURRENCIES
from domain.payments.entries import EntryType
from runtime.metrics.closed import ClosedCounter

ROLES: Final = ("worker",)

PAYMENT_ENTRIES = ClosedCounter(
    "tidegate_payment_entries_total",
    "Requests to payment providers, and their reports of money that moved or failed to move, by type: "
    "`charge_success` counts captures, `charge_failure` declined ones.",
    ["provider", "type"],
).allow(type=get_args(EntryType))
PAID_MINOR = ClosedCounter(
    "tidegate_paid_minor_total",
    "Buyers' money, including gift cards and store credit, in minor units of the currency: amounts charged, charged "
    "back by banks, refunded, and returned from refunds.",
    ["currency", "change"],
).allow(currency=CURRENCIES, change=("charged", "charged_back", "refunded", "refund_reversed"))
CHECKOUTS = ClosedCounter(
    "tidegate_checkouts_total", "Checkouts that were opened, completed and so on.", ["outcome"]
).allow(outcome=CHECKOUT_STATUSES)
CHECKOUTS_REFUSED = ClosedCounter(
    "tidegate_checkouts_refused_total",
    "Attempts to complete a checkout that were refused, by the error's code.",
    ["reason"],
).allow(
    reason=(
        "checkout_changed",
        "checkout_incomplete",
        "checkout_not_found",
        "checkout_not_open",
        "idempotency_key_reused",
        "insufficient_stock",
        "manual_capture_unsupported",
    )
)
