"""The table of the prices that SKUs have besides the variants' own, which has the columns of the state in
`domain/sku_prices.py`."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when

sku_prices = Table(
    "sku_prices",
    metadata,
    Column("sku", Text, ForeignKey("variants.sku", name="sku_prices_sku_fkey"), primary_key=True),
    Column("product_id", Uuid, nullable=False),
    Column("prices", JSONB, nullable=False),
    when("created_at"),
    when("updated_at"),
    # For finding the SKUs on a price list.
    Index("sku_prices_lists", "prices", postgresql_using="gin", postgresql_ops={"prices": "jsonb_path_ops"}),
)
