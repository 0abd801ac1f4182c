"""Payments and checkouts: what happens to them, counted where it is applied."""

from typing import Final, get_args

from domain.checkouts import CHECKOUT_STATUSES
from domain.money import CURRENCIES
from domain.payments.entries import EntryType
from runtime.metrics.closed import ClosedCounter

ROLES: Final = ("worker",)

PAYMENT_ENTRIES = ClosedCounter(
    "tidegate_payment_entries_total",
    "What was requested of payment providers, and what they reported that moves money or says that none moved, by type:"
    " of `charge_success` say, how often money was captured; of `charge_failure`, how often that was declined.",
    ["provider", "type"],
).allow(type=get_args(EntryType))
PAID_MINOR = ClosedCounter(
    "tidegate_paid_minor_total",
    "Money of buyers, gift cards and store credit included, in minor units of the currency: what was charged, what"
    " banks took back of that, what was refunded, and what came back of that.",
    ["currency", "change"],
).allow(currency=CURRENCIES, change=("charged", "charged_back", "refunded", "refund_reversed"))
CHECKOUTS = ClosedCounter(
    "tidegate_checkouts_total", "Checkouts that were opened, completed and so on.", ["outcome"]
).allow(outcome=CHECKOUT_STATUSES)
CHECKOUTS_REFUSED = ClosedCounter(
    "tidegate_checkouts_refused_total", "Checkouts that could not be completed, by the code of the answer.", ["reason"]
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
