"""The tables, as they stand in Postgres, one module a noun. Migrations make them, batches write them."""

from runtime.tables.base import metadata
from runtime.tables.catalogue import categories, products, variants
from runtime.tables.pipeline import (
    commands,
    dead_letters,
    event_counter,
    events,
    mailboxes,
    order_lines,
    orders,
    stock,
)

__all__ = [
    "categories",
    "commands",
    "dead_letters",
    "event_counter",
    "events",
    "mailboxes",
    "metadata",
    "order_lines",
    "orders",
    "products",
    "stock",
    "variants",
]
