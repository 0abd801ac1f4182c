"""The names of SKUs for mails and invoices, taken from the current catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import asyncpg

_TITLES: Final = """
    SELECT v.sku, p.name, v.title FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = ANY($1::text[])
"""


async def titles_of(connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], skus: Iterable[str]) -> dict[str, str]:
    """For each SKU, the product's name and what distinguishes the variant; for a SKU that is gone, the SKU itself."""
    asked = list(skus)
    found = await connection.fetch(_TITLES, asked) if asked else []
    return {
        **{sku: sku for sku in asked},
        **{sku: f"{product}, {title}" if title else product for sku, product, title in found},
    }
