"""What sells, as the board shows it: the last minutes' orders, what runs low, and how much of a SKU is left."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.tables import orders, products, stock, variants

LOW_STOCK_PIECES: Final = 20
"""A SKU with this many pieces or fewer runs low."""

_LOW_ROWS: Final = 30
# At most this many orders are read; of very busy minutes, only the end.
_ORDERS_MAX: Final = 200_000

_available = stock.c.on_hand - stock.c.reserved


class Sales(NamedTuple):
    """Orders that were placed in one step of time, which began at `at` (seconds of Unix time), in one currency."""

    at: int
    currency: str
    orders: int
    revenue_minor: int


class OnShelf(NamedTuple):
    """A SKU, its name, and how many pieces can be ordered."""

    sku: str
    name: str
    available: int


async def sales(connection: AsyncConnection, since: int, step_seconds: int) -> tuple[list[Sales], int]:
    """The orders placed since a moment (seconds of Unix time), by step and currency; and since when all are there,
    which is later if there were very many."""
    newest = (
        select(orders.c.placed_at, orders.c.currency, orders.c.total_minor)
        .where(orders.c.placed_at >= datetime.fromtimestamp(since, UTC))
        .order_by(orders.c.placed_seq.desc())
        .limit(_ORDERS_MAX)
        .subquery()
    )
    step = (func.floor(func.extract("epoch", newest.c.placed_at) / step_seconds) * step_seconds).label("step")
    query = select(step, newest.c.currency, func.count(), func.sum(newest.c.total_minor)).group_by(
        step, newest.c.currency
    )
    rows = await connection.execute(query)
    found = [Sales(int(at), currency, count, int(total)) for at, currency, count, total in rows]
    complete = sum(sold.orders for sold in found) < _ORDERS_MAX
    return found, since if complete else min(sold.at for sold in found) + step_seconds


async def running_low(connection: AsyncConnection) -> list[OnShelf]:
    """SKUs on sale of which there are few, the fewest first."""
    query = _shelf().where(variants.c.on_sale, _available > 0, _available <= LOW_STOCK_PIECES)
    return await _on_shelf(connection, query.order_by(_available, stock.c.sku).limit(_LOW_ROWS))


async def count_low(connection: AsyncConnection) -> tuple[int, int]:
    """Of how many SKUs on sale there are few, and of how many none."""
    query = (
        select(func.count().filter(_available > 0), func.count().filter(_available <= 0))
        .join_from(stock, variants, variants.c.sku == stock.c.sku)
        .where(variants.c.on_sale, _available <= LOW_STOCK_PIECES)
    )
    low, none = (await connection.execute(query)).one()
    return low, none


async def on_shelf(connection: AsyncConnection, skus: Collection[str]) -> list[OnShelf]:
    """These SKUs, as far as they exist."""
    return await _on_shelf(connection, _shelf().where(stock.c.sku.in_(skus)))


def _shelf() -> Select[Any]:
    return (
        select(stock.c.sku, products.c.name, variants.c.title, _available)
        .join_from(stock, variants, variants.c.sku == stock.c.sku)
        .join(products, products.c.id == variants.c.product_id)
    )


async def _on_shelf(connection: AsyncConnection, query: Select[Any]) -> list[OnShelf]:
    return [
        OnShelf(sku, f"{name}, {title}" if title and title != name else name, available)
        for sku, name, title, available in await connection.execute(query)
    ]
