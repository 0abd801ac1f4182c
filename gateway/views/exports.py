"""What exports hold: the catalogue as listings, which an import takes back as they are, and the orders, a line each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from domain.catalogue import ACTIVE
from gateway.web.exporting import Sheet
from runtime.csvcells import escape_cell
from runtime.listings.columns import COLUMNS
from runtime.records import microseconds, timestamp
from runtime.tables import categories, order_lines, orders, products, stock, variants

_ORDER_COLUMNS: Final = (
    "order_id",
    "customer_id",
    "status",
    "placed_at",
    "updated_at",
    "currency",
    "total_minor",
    "sku",
    "quantity",
    "unit_price_minor",
    "number",
)

_BOOLEANS: Final = {True: "true", False: "false", None: None}


def listings(*, all_statuses: bool) -> Sheet:
    """A row for each variant, and one for each product that has none; of products that are not active only with
    `all_statuses`."""
    query = (
        sa.select(
            products.c.slug,
            products.c.name,
            products.c.description,
            categories.c.slug,
            products.c.status,
            variants.c.sku,
            variants.c.title,
            variants.c.price_minor,
            variants.c.currency,
            variants.c.compare_at_minor,
            variants.c.weight_grams,
            variants.c.barcode,
            sa.cast(variants.c.attributes, sa.Text),
            variants.c.active,
            stock.c.on_hand,
        )
        .select_from(products)
        .outerjoin(categories, categories.c.id == products.c.category_id)
        .outerjoin(variants, variants.c.product_id == products.c.id)
        .outerjoin(stock, stock.c.sku == variants.c.sku)
        .order_by(products.c.slug, variants.c.sku)
    )
    if not all_statuses:
        query = query.where(products.c.status == ACTIVE)
    return Sheet("products.csv", COLUMNS, query, _listing)


def _listing(row: Any) -> Sequence[object]:
    slug, name, description, category, status, sku, title, *prices, weight, barcode, attributes, active, on_hand = row
    return (
        slug,
        escape_cell(name),
        escape_cell(description),
        category,
        status,
        sku,
        escape_cell(title or ""),
        *prices,
        weight,
        escape_cell(barcode or ""),
        attributes if attributes != "{}" else None,
        _BOOLEANS[active],
        on_hand,
    )


def order_lines_between(since: datetime | None, until: datetime | None, status: str | None) -> Sheet:
    """The lines of the orders placed from `since` on and before `until`, in the order of placing."""
    query = (
        sa.select(
            orders.c.id,
            orders.c.customer_id,
            orders.c.status,
            orders.c.placed_at,
            orders.c.updated_at,
            orders.c.currency,
            orders.c.total_minor,
            order_lines.c.sku,
            order_lines.c.quantity,
            order_lines.c.unit_price_minor,
            orders.c.number,
        )
        .join_from(orders, order_lines, order_lines.c.order_id == orders.c.id)
        .order_by(orders.c.placed_seq, order_lines.c.position)
    )
    if since is not None:
        query = query.where(orders.c.placed_at >= since)
    if until is not None:
        query = query.where(orders.c.placed_at < until)
    if status is not None:
        query = query.where(orders.c.status == status)
    return Sheet("orders.csv", _ORDER_COLUMNS, query, _order_line)


def _order_line(row: Any) -> Sequence[object]:
    order_id, customer_id, status, placed_at, updated_at, *rest = row
    placed, updated = (timestamp(microseconds(moment)) for moment in (placed_at, updated_at))
    return order_id, escape_cell(customer_id), status, placed, updated, *rest
