"""Products and their stock as the API shows them."""

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.pages import Page, decode_cursor, page_of
from runtime.tables import products, stock


class ProductView(BaseModel):
    """What a SKU is sold as. `price_minor` is in the minor units of `currency` (ISO 4217)."""

    sku: str
    name: str
    price_minor: int
    currency: str


class InventoryView(BaseModel):
    """Pieces of one SKU: on hand, of these reserved for orders, and the rest, available."""

    sku: str
    on_hand: int
    reserved: int
    available: int


async def list_products(connection: AsyncConnection, cursor: str | None, limit: int) -> Page[ProductView]:
    """Products by SKU."""
    query = select(products).order_by(products.c.sku).limit(limit + 1)
    if cursor is not None:
        query = query.where(products.c.sku > decode_cursor(cursor, _sku))
    rows = await connection.execute(query)
    found = [ProductView.model_validate(dict(row)) for row in rows.mappings()]
    return page_of(found, limit, lambda product: product.sku)


def _sku(key: str) -> str:
    if "\x00" in key:  # which Postgres takes in no text
        raise ValueError(f"{key!r} is no SKU")
    return key


async def inventory(connection: AsyncConnection, sku: str) -> InventoryView | None:
    """The stock of one SKU, if the catalogue has it."""
    row = (await connection.execute(select(stock).where(stock.c.sku == sku))).first()
    if row is None:
        return None
    return InventoryView(sku=row.sku, on_hand=row.on_hand, reserved=row.reserved, available=row.on_hand - row.reserved)
