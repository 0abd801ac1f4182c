"""The prices of SKUs on price lists and in other currencies, as staff see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Price
from gateway.web.pages import Page, decode_cursor, page_of
from gateway.web.rawjson import as_text
from runtime.tables import sku_prices, variants


class PriceView(BaseModel):
    """What one piece costs. `price_list_id` is the list that says so, null for the SKU's own price in another
    currency."""

    price_list_id: UUID | None
    currency: str
    min_quantity: int
    price_minor: int


class SkuPricesView(BaseModel):
    """The prices of a SKU."""

    sku: str
    prices: list[PriceView]


_PRICES: Final = msgspec.json.Decoder(tuple[Price, ...])
_COLUMNS: Final = (sku_prices.c.sku, as_text(sku_prices.c.prices).label("prices"))


async def product_of(connection: AsyncConnection, sku: str) -> UUID | None:
    """The product that the SKU is a variant of, if there is one."""
    found = await connection.scalar(select(variants.c.product_id).where(variants.c.sku == sku))
    return None if found is None else UUID(int=found.int)


async def of_sku(connection: AsyncConnection, sku: str) -> SkuPricesView:
    """All prices of a SKU but the variant's own."""
    row = (await connection.execute(select(*_COLUMNS).where(sku_prices.c.sku == sku))).one_or_none()
    return _view(sku, () if row is None else _PRICES.decode(row.prices))


async def on_list(
    connection: AsyncConnection, price_list_id: UUID, cursor: str | None, limit: int
) -> Page[SkuPricesView]:
    """The prices on a list, by SKU."""
    named = func.jsonb_build_array(func.jsonb_build_object("price_list_id", str(price_list_id)), type_=JSONB)
    query = select(*_COLUMNS).where(sku_prices.c.prices.contains(named)).order_by(sku_prices.c.sku).limit(limit + 1)
    if cursor is not None:
        query = query.where(sku_prices.c.sku > decode_cursor(cursor, str))
    found = [
        _view(sku, (price for price in _PRICES.decode(prices) if price.price_list_id == price_list_id))
        for sku, prices in await connection.execute(query)
    ]
    return page_of(found, limit, lambda of_sku: of_sku.sku)


def _view(sku: str, prices: Iterable[Price]) -> SkuPricesView:
    return SkuPricesView(sku=sku, prices=[PriceView(**msgspec.structs.asdict(price)) for price in prices])
