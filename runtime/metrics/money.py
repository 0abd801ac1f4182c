"""Money under way: what nobody has answered yet, money without an order, and how providers answer."""

from typing import Final

from prometheus_client import Gauge

from domain.order_taxes import TAX_ACTS
from runtime.metrics.closed import ClosedGauge, ClosedHistogram

ROLES: Final = ("background",)

WAITS_FOR: Final = ("provider", "buyer", "staff")
"""Whom a pending payment is waiting for."""

PAYMENTS_PENDING = ClosedGauge(
    "tidegate_payments_pending",
    "Pending payments, by whom they are waiting for: the provider, the buyer, or staff; the oldest ten thousand are "
    "counted.",
    ["provider", "waits_for"],
    multiprocess_mode="livemostrecent",
).allow(waits_for=WAITS_FOR)
PAYMENTS_PENDING_OLDEST_SECONDS = ClosedGauge(
    "tidegate_payments_pending_oldest_seconds",
    "How long the longest-waiting of them has been without news, 0 for none.",
    ["provider", "waits_for"],
    multiprocess_mode="livemostrecent",
).allow(waits_for=WAITS_FOR)
PAYMENTS_ORPHANED = Gauge(
    "tidegate_payments_orphaned",
    "Payments with money of a buyer whose order was cancelled or has expired; the oldest thousand are counted.",
    multiprocess_mode="livemax",
)
PAYMENTS_ORPHANED_OLDEST_SECONDS = Gauge(
    "tidegate_payments_orphaned_oldest_seconds",
    "How long ago the order of the oldest of them was cancelled or expired, 0 for none.",
    multiprocess_mode="livemax",
)
CHECKOUTS_OPEN = Gauge(
    "tidegate_checkouts_open",
    "Checkouts that are open now, up to a hundred thousand.",
    multiprocess_mode="livemostrecent",
)
_CALL_RESULTS: Final = ("answered", "refused", "unknown", "failed")
_CALL_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)

PROVIDER_CALL_SECONDS = ClosedHistogram(
    "tidegate_provider_call_seconds",
    "Calls to payment providers, by result: `answered`, which includes declines; `refused`: our mistake; `unknown`: "
    "no answer; `failed`: the answer could not be read.",
    ["provider", "operation", "result"],
    buckets=_CALL_BUCKETS,
).allow(operation=("create", "capture", "void", "refund", "ask"), result=_CALL_RESULTS)
TAX_CALL_SECONDS = ClosedHistogram(
    "tidegate_tax_call_seconds",
    "Calls to tax providers, by result: `answered`; `refused`, such as for an address that does not exist; `unknown`: "
    "no answer; `failed`: the answer was implausible or could not be read.",
    ["provider", "operation", "result"],
    buckets=_CALL_BUCKETS,
).allow(operation=("estimate", *TAX_ACTS), result=_CALL_RESULTS)
DELIVERY_CALL_SECONDS = ClosedHistogram(
    "tidegate_delivery_call_seconds",
    "Calls to delivery providers, by result: `answered`; `refused`: it does not deliver there; `unknown`: no answer;"
    " `failed`: the answer was implausible or could not be read.",
    ["provider", "operation", "result"],
    buckets=_CALL_BUCKETS,
).allow(operation=("rates",), result=_CALL_RESULTS)
