"""The names of SKUs for mails and invoices, taken from the current catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import asyncpg

TITLE: Final = "p.name || coalesce(', ' || nullif(v.title, ''), '')"
"""SQL: the name of the product `p`, and what distinguishes its variant `v`; NULL for a SKU that is gone."""

_TITLES: Final = f"""
    SELECT v.sku, {TITLE} FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = ANY($1::text[])
"""  # noqa: S608 - a constant of ours


async def titles_of(connection: asyncpg.Pool[Any] | asyncpg.Connection[Any], skus: Iterable[str]) -> dict[str, str]:
    """For each SKU, its title; for a SKU that is gone, the SKU itself."""
    asked = list(skus)
    found = await connection.fetch(_TITLES, asked) if asked else []
    return {**{sku: sku for sku in asked}, **dict(found)}
