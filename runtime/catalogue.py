"""The catalogue as loaders write it: products, each with its stock row from the first day."""

from collections.abc import Iterable
from typing import Any

import asyncpg

from domain.model import Product


async def load(connection: "asyncpg.Connection[Any]", products: Iterable[Product]) -> int:
    """Inserts the products that are not there yet, with nothing on hand; returns how many were new."""
    rows = list(products)
    async with connection.transaction():
        added: int = await connection.fetchval(
            """
            WITH given AS (
                SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
                    AS g (sku, name, price_minor, currency)
            ), product AS (
                INSERT INTO products (sku, name, price_minor, currency) SELECT * FROM given
                ON CONFLICT (sku) DO NOTHING RETURNING sku
            ), shelf AS (
                INSERT INTO stock (sku) SELECT sku FROM given ON CONFLICT (sku) DO NOTHING
            )
            SELECT count(*) FROM product
            """,
            [row.sku for row in rows],
            [row.name for row in rows],
            [row.price_minor for row in rows],
            [row.currency for row in rows],
        )
    return added
