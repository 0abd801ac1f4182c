"""Products as the API shows them, each with its variants."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import RowMapping, Select, Table, false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.catalogue import ACTIVE
from domain.fields.catalogue import SLUG
from domain.price_history import Priced, lowest_before
from gateway.web.rawjson import as_text
from runtime.tables import products, variants


class VariantView(BaseModel):
    """A SKU of a product. Prices are per piece, in the minor units of `currency` (ISO 4217); `compare_at_minor` is the
    former price, and `lowest_price_minor` the lowest of the 30 days before it was reduced. `on_sale` is whether it can
    be ordered: it and its product are active. `kind` says whether it has to be delivered."""

    sku: str
    title: str
    price_minor: int
    currency: str
    compare_at_minor: int | None
    lowest_price_minor: int | None
    weight_grams: int | None
    barcode: str | None
    attributes: dict[str, str]
    active: bool
    on_sale: bool
    kind: str
    tax_class: str


class ProductItem(BaseModel):
    """A product on a page: everything except its description. `version` counts its changes and those of its
    variants."""

    id: UUID
    slug: str
    name: str
    category_id: UUID | None
    status: str
    version: int
    created_at: datetime
    updated_at: datetime
    variants: list[VariantView]


class ProductView(ProductItem):
    """A product. Its `version` is also its entity tag."""

    description: str


async def find(connection: AsyncConnection, key: str, *, all_statuses: bool) -> ProductView | None:
    """The product with this id or, if there is none, this slug; one that is not active only with `all_statuses`."""
    row = (await connection.execute(matches_key(_select(ProductView), products, key))).mappings().first()
    if row is None or not (all_statuses or row["status"] == ACTIVE):
        return None
    of_products = await _variants(connection, [row["id"]])
    return ProductView(**row, variants=of_products[row["id"]])


def matches_key(query: Select[Any], table: Table, key: str) -> Select[Any]:
    """The query for the row of the table with this id or, if there is none, this slug."""
    try:
        identifier = UUID(key)
    except ValueError:
        return query.where(table.c.slug == key) if SLUG.keeps(key) else query.where(false())
    return query.where((table.c.id == identifier) | (table.c.slug == key)).order_by(table.c.id != identifier).limit(1)


async def items(connection: AsyncConnection, ids: Sequence[UUID]) -> list[ProductItem]:
    """The products with these ids, in this order; those that are gone are left out."""
    if not ids:
        return []
    found = await connection.execute(_select(ProductItem).where(products.c.id.in_(ids)))
    rows = {row["id"]: row for row in found.mappings()}
    of_products = await _variants(connection, ids)
    return [ProductItem(**rows[key], variants=of_products[key]) for key in ids if key in rows]


def _select(view: type[ProductItem]) -> Select[Any]:
    return select(*(products.c[name] for name in view.model_fields if name != "variants"))


async def _variants(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[VariantView]]:
    found: dict[UUID, list[VariantView]] = defaultdict(list)
    query = select(variants.c.product_id, _HISTORY, *_SHOWN).where(variants.c.product_id.in_(ids))
    rows = (await connection.execute(query.order_by(variants.c.product_id, variants.c.sku))).mappings()
    for row in rows:
        found[row["product_id"]].append(VariantView(**row, lowest_price_minor=_lowest_price(row)))
    return found


def _lowest_price(row: RowMapping) -> int | None:
    """What a reduced price must be shown against; of all others there is nothing to work out."""
    if row["compare_at_minor"] is None:
        return None
    history = _histories.decode(row["history"])
    return lowest_before(history, row["price_minor"], row["currency"], row["compare_at_minor"])


_HISTORY: Final = as_text(variants.c.price_history).label("history")
_SHOWN: Final = [variants.c[name] for name in VariantView.model_fields if name != "lowest_price_minor"]
_histories: Final = msgspec.json.Decoder(tuple[Priced, ...])
