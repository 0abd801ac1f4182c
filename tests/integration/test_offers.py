"""The statement that reads offers is planned once a connection, however many SKUs are asked for, and finds the same
under every plan."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from domain.model import Offer, Price
from gateway.views.quoting import offers_of
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from tests.plans import PLANS, force

_PRODUCTS: Final = 5_000
_CATEGORIES: Final = 40
_BROAD: Final = 10  # every category is below the one that has so much smaller a number

# So often Postgres plans a statement for its arguments, before it compares that with a plan for any.
_PLANNED_FIRST: Final = 5

_USED: Final = text("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE :statement")

_STOCKED: Final = f"""
    INSERT INTO categories (id, slug, name, parent_id, position, version, created_at, updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'c' || n, 'C',
        CASE WHEN n > {_BROAD} THEN lpad(to_hex(n - {_BROAD}), 32, '0')::uuid END, 0, 1, now(), now()
    FROM generate_series(1, {_CATEGORIES}) AS n;
    INSERT INTO products (id, slug, name, description, category_id, status, version, created_at, updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'p' || n, 'P', '',
        lpad(to_hex(n % ({_CATEGORIES} + 1)), 32, '0')::uuid, 'active', 1, now(), now()
    FROM generate_series(1, {_PRODUCTS}) AS n WHERE n % ({_CATEGORIES} + 1) > 0;
    INSERT INTO products (id, slug, name, description, status, version, created_at, updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'p' || n, 'P', '', 'active', 1, now(), now()
    FROM generate_series(1, {_PRODUCTS}) AS n WHERE n % ({_CATEGORIES} + 1) = 0;
    INSERT INTO variants
        (sku, product_id, title, price_minor, currency, attributes, active, on_sale, created_at, updated_at)
    SELECT 'SKU-' || n, lpad(to_hex(n), 32, '0')::uuid, '', n, 'GBP', '{{}}', true, true, now(), now()
    FROM generate_series(1, {_PRODUCTS}) AS n;
    INSERT INTO sku_prices (sku, product_id, prices, created_at, updated_at)
    SELECT 'SKU-' || n, lpad(to_hex(n), 32, '0')::uuid,
        jsonb_build_array(jsonb_build_object('currency', 'EUR', 'price_minor', n + 1)), now(), now()
    FROM generate_series(1, {_PRODUCTS}, 2) AS n;
"""
"""A shop of many products, each of one SKU; every second one has a price in euros, too."""


def _offer(number: int) -> Offer:
    """The offer of that number's SKU."""
    lowest = number % (_CATEGORIES + 1)
    path = tuple(UUID(int=each) for each in range(lowest, 0, -_BROAD))[::-1]
    prices = (Price("EUR", number + 1),) if number % 2 else ()
    return Offer(f"SKU-{number}", number, "GBP", True, prices, product_id=UUID(int=number), category_ids=path)


async def _stock(database_url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        await connection.execute(_STOCKED)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _check(database_url: str) -> tuple[int, int]:
    """Asks for offers, a few at first and then more, and checks them. Returns how often Postgres used a plan for any
    arguments, and how often it planned for the given ones."""
    engine = create_engine(database_url, pool_size=1, transactions=False)
    try:
        async with engine.connect() as connection:
            for count in range(1, 3 * _PLANNED_FIRST):
                wanted = {f"SKU-{number}": _offer(number) for number in range(40, 40 + count)}
                assert await offers_of(connection, [*wanted, "NONE"]) == wanted
            generic, custom = (await connection.execute(_USED, {"statement": "%RECURSIVE above%"})).one()
            return generic, custom
    finally:
        await engine.dispose()


async def test_they_are_planned_for_any_skus(database_url: str) -> None:
    await _stock(database_url)
    generic, custom = await _check(database_url)
    assert custom <= _PLANNED_FIRST, "Postgres takes a plan for given SKUs to be cheaper by more than planning it costs"
    assert generic > 0


@pytest.mark.plans
@pytest.mark.parametrize("plan", PLANS)
async def test_they_are_the_same_under_every_plan(database_url: str, plan: str) -> None:
    await _stock(database_url)
    await force(database_url, PLANS[plan])
    await _check(database_url)
