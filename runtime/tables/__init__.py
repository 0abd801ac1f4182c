"""The tables in Postgres, one module per entity. Migrations create them, batches write them."""

from runtime.tables.accounts import accounts, api_keys, sessions
from runtime.tables.base import metadata
from runtime.tables.branches import log_branches
from runtime.tables.cards import card_balances, gift_cards
from runtime.tables.catalogue import categories, products, variants
from runtime.tables.checkouts import checkouts
from runtime.tables.customers import customers
from runtime.tables.fold import fold_position, folded_balances, folded_entities, folded_orders, log_digests
from runtime.tables.invoices import invoices
from runtime.tables.jobs import job_parts, job_progress, job_rows, jobs
from runtime.tables.payments import payments
from runtime.tables.pipeline import (
    commands,
    dead_letters,
    event_counter,
    events,
    guards,
    idempotency_keys,
    log_start,
    mailboxes,
    order_lines,
    orders,
    stock,
)
from runtime.tables.promotion_codes import allowances, promotion_codes
from runtime.tables.reactions import reaction_dead_letters, reactions
from runtime.tables.sku_prices import sku_prices
from runtime.tables.suspects import suspects
from runtime.tables.tasks import tasks
from runtime.tables.terms import terms
from runtime.tables.webhooks import webhook_deliveries, webhooks

__all__ = [
    "accounts",
    "allowances",
    "api_keys",
    "card_balances",
    "categories",
    "checkouts",
    "commands",
    "customers",
    "dead_letters",
    "event_counter",
    "events",
    "fold_position",
    "folded_balances",
    "folded_entities",
    "folded_orders",
    "gift_cards",
    "guards",
    "idempotency_keys",
    "invoices",
    "job_parts",
    "job_progress",
    "job_rows",
    "jobs",
    "log_branches",
    "log_digests",
    "log_start",
    "mailboxes",
    "metadata",
    "order_lines",
    "orders",
    "payments",
    "products",
    "promotion_codes",
    "reaction_dead_letters",
    "reactions",
    "sessions",
    "sku_prices",
    "stock",
    "suspects",
    "tasks",
    "terms",
    "variants",
    "webhook_deliveries",
    "webhooks",
]
