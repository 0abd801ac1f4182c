"""Shop: what happens to orders, counted where they are applied."""

from typing import Final

from domain.money import CURRENCIES
from domain.orders import ORDER_STATUSES
from runtime.metrics.closed import ClosedCounter

ROLES: Final = ("worker",)

ORDERS = ClosedCounter(
    "tidegate_orders_total",
    "Orders that were placed, confirmed and so on: an order counts once for each step it reaches.",
    ["outcome"],
).allow(outcome=ORDER_STATUSES)
ORDERS_REFUSED = ClosedCounter(
    "tidegate_orders_refused_total", "Orders that the shop's rules refused, by the error's code.", ["reason"]
).allow(
    reason=(
        "checkout_incomplete",
        "insufficient_stock",
        "not_on_sale",
        "unknown_sku",
        "mixed_currencies",
        "order_total_exceeded",
        "idempotency_key_reused",
    )
)
REVENUE = ClosedCounter(
    "tidegate_revenue_minor_total",
    "Totals of placed orders, in minor units of the currency; orders that are cancelled or expire later stay counted.",
    ["currency"],
).allow(currency=CURRENCIES)
