"""The tables in Postgres, one module per entity. Migrations create them, batches write them."""

from runtime.tables.accounts import accounts, api_keys, sessions
from runtime.tables.base import metadata
from runtime.tables.branches import log_branches
from runtime.tables.catalogue import categories, products, variants
from runtime.tables.jobs import job_parts, job_progress, job_rows, jobs
from runtime.tables.pipeline import (
    commands,
    dead_letters,
    event_counter,
    events,
    guards,
    mailboxes,
    order_lines,
    orders,
    stock,
)
from runtime.tables.reactions import reaction_dead_letters, reactions
from runtime.tables.tasks import tasks
from runtime.tables.webhooks import webhook_deliveries, webhooks

__all__ = [
    "accounts",
    "api_keys",
    "categories",
    "commands",
    "dead_letters",
    "event_counter",
    "events",
    "guards",
    "job_parts",
    "job_progress",
    "job_rows",
    "jobs",
    "log_branches",
    "mailboxes",
    "metadata",
    "order_lines",
    "orders",
    "products",
    "reaction_dead_letters",
    "reactions",
    "sessions",
    "stock",
    "tasks",
    "variants",
    "webhook_deliveries",
    "webhooks",
]
