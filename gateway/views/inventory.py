"""Stock as the API shows it."""

from typing import Annotated, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.catalogue import ACTIVE
from domain.fields.catalogue import canonical_sku
from domain.limits import AVAILABLE_SHOWN_MAX
from gateway.web.pages import Page, decode_cursor, page_of
from runtime.tables import products, stock, variants

_IS_ACTIVE: Final = exists().where(
    variants.c.sku == stock.c.sku, products.c.id == variants.c.product_id, products.c.status == ACTIVE
)


class InventoryView(BaseModel):
    """Pieces of one SKU: on hand, how many of those are reserved for orders, and how many are available."""

    sku: str
    on_hand: int
    reserved: int
    available: int


class ShelfView(BaseModel):
    """What customers see of a SKU: how many pieces are `available`; ten means ten or more."""

    sku: str
    available: Annotated[int, Field(ge=0, le=AVAILABLE_SHOWN_MAX)]


class Wanted(NamedTuple):
    """Which SKUs: by prefix, by product, and by an upper or lower bound of what is available; of inactive products only
    with `all_statuses`."""

    prefix: str | None = None
    product_id: UUID | None = None
    available_below: int | None = None
    available_from: int | None = None
    all_statuses: bool = True


async def inventories(
    connection: AsyncConnection, wanted: Wanted, cursor: str | None, limit: int
) -> Page[InventoryView]:
    """The stock of the wanted SKUs, in the order of their letters."""
    available = stock.c.on_hand - stock.c.reserved
    query = select(stock.c.sku, stock.c.on_hand, stock.c.reserved, available.label("available"))
    if wanted.prefix is not None:
        query = query.where(stock.c.sku.startswith(wanted.prefix, autoescape=True))
    if wanted.product_id is not None:
        query = query.join(variants, variants.c.sku == stock.c.sku).where(variants.c.product_id == wanted.product_id)
    if wanted.available_below is not None:
        query = query.where(available < wanted.available_below)
    if wanted.available_from is not None:
        query = query.where(available >= wanted.available_from)
    if cursor is not None:
        query = query.where(stock.c.sku > decode_cursor(cursor, _sku))
    if not wanted.all_statuses:
        query = query.where(_IS_ACTIVE)
    rows = (await connection.execute(query.order_by(stock.c.sku).limit(limit + 1))).mappings()
    return page_of([InventoryView(**row) for row in rows], limit, lambda one: one.sku)


async def inventory(connection: AsyncConnection, sku: str, *, all_statuses: bool) -> InventoryView | None:
    """The stock of one SKU, if the catalogue has it; of a product that is not active only with `all_statuses`."""
    query = select(stock).where(stock.c.sku == sku)
    row = (await connection.execute(query if all_statuses else query.where(_IS_ACTIVE))).first()
    if row is None:
        return None
    return InventoryView(sku=row.sku, on_hand=row.on_hand, reserved=row.reserved, available=row.on_hand - row.reserved)


async def shelf(connection: AsyncConnection, sku: str) -> ShelfView | None:
    """What customers see of one SKU, if it is on sale."""
    query = select(stock.c.on_hand - stock.c.reserved).join(variants, variants.c.sku == stock.c.sku)
    available = await connection.scalar(query.where(stock.c.sku == sku, variants.c.on_sale))
    return None if available is None else ShelfView(sku=sku, available=min(available, AVAILABLE_SHOWN_MAX))


def _sku(key: str) -> str:
    sku = canonical_sku(key)
    if sku is None:
        raise ValueError(f"{key!r} is no SKU")
    return sku
