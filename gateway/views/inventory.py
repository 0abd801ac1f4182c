"""Stock as the API shows it."""

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.tables import stock


class InventoryView(BaseModel):
    """Pieces of one SKU: on hand, of these reserved for orders, and the rest, available."""

    sku: str
    on_hand: int
    reserved: int
    available: int


async def inventory(connection: AsyncConnection, sku: str) -> InventoryView | None:
    """The stock of one SKU, if the catalogue has it."""
    row = (await connection.execute(select(stock).where(stock.c.sku == sku))).first()
    if row is None:
        return None
    return InventoryView(sku=row.sku, on_hand=row.on_hand, reserved=row.reserved, available=row.on_hand - row.reserved)
