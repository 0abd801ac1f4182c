"""What the live figures read from Postgres: the past minutes, what runs low, and what is left of what sells."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import new_id
from gateway.realtime.statistics.figures import Missed, RunningLow, Selling
from gateway.realtime.statistics.past import STEP_SECONDS
from gateway.realtime.statistics.shelf import LOW_STOCK_MAX, ShelfWatch
from gateway.realtime.statistics.window import Window
from gateway.views.sales import LOW_STOCK_PIECES, Sales, sales
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine

NOW = 1_800_000_000
SINCE = NOW - 660
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=1)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture
async def rows(database_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    yield connection
    await connection.close()


async def put_order(
    rows: "asyncpg.Connection[Any]", number: int, at: int, total: int, *, currency: str = "GBP", waited: int = 0
) -> None:
    moment = datetime.fromtimestamp(at, UTC)
    await rows.execute(
        "INSERT INTO orders (id, customer_id, status, currency, total_minor, placed_at, updated_at, placed_seq)"
        " VALUES ($1, 'ann', 'placed', $2, $3, $4, $4, $5)",
        new_id((at - waited) * 1000, 0, number),
        currency,
        total,
        moment,
        at * 1_000 + number,
    )


async def put_on_shelf(
    rows: "asyncpg.Connection[Any]", number: int, sku: str, available: int, *, title: str = "", on_sale: bool = True
) -> None:
    product = UUID(int=number)
    await rows.execute(
        "INSERT INTO products (id, slug, name, description, status, version, created_at, updated_at)"
        " VALUES ($1, $2, $3, '', 'active', 1, $4, $4)",
        product,
        sku.lower(),
        f"The {sku.lower()}",
        AT,
    )
    await rows.execute(
        "INSERT INTO variants"
        " (sku, product_id, title, price_minor, currency, attributes, active, on_sale, created_at, updated_at)"
        " VALUES ($1, $2, $3, 100, 'GBP', '{}', true, $4, $5, $5)",
        sku,
        product,
        title,
        on_sale,
        AT,
    )
    await rows.execute("INSERT INTO stock (sku, on_hand, reserved) VALUES ($1, $2, 3)", sku, available + 3)


async def test_the_past_minutes_by_step_and_currency(engine: AsyncEngine, rows: "asyncpg.Connection[Any]") -> None:
    await put_order(rows, 1, SINCE - 1, 100)
    await put_order(rows, 2, SINCE, 200, waited=50)
    await put_order(rows, 3, SINCE + STEP_SECONDS - 1, 300)
    await put_order(rows, 4, SINCE + STEP_SECONDS, 400)
    await put_order(rows, 5, SINCE + STEP_SECONDS, 500, currency="EUR")
    async with engine.connect() as connection:
        found, since = await sales(connection, SINCE, STEP_SECONDS)
    assert sorted(found) == [
        Sales(SINCE, "GBP", 2, 500),
        Sales(SINCE + STEP_SECONDS, "EUR", 1, 500),
        Sales(SINCE + STEP_SECONDS, "GBP", 1, 400),
    ]
    assert since == SINCE


async def test_of_very_many_orders_only_the_last_are_read(
    engine: AsyncEngine, rows: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.views.sales._ORDERS_MAX", 3)
    for number in range(6):
        await put_order(rows, number, SINCE + number * STEP_SECONDS, 100)
    async with engine.connect() as connection:
        found, since = await sales(connection, SINCE, STEP_SECONDS)
    assert [sold.at for sold in sorted(found)] == [SINCE + step * STEP_SECONDS for step in (3, 4, 5)]
    assert since == SINCE + 4 * STEP_SECONDS, "the oldest step may be seen in part"


async def test_what_runs_low(engine: AsyncEngine, rows: "asyncpg.Connection[Any]") -> None:
    await put_on_shelf(rows, 1, "FEW", LOW_STOCK_PIECES)
    await put_on_shelf(rows, 2, "FEWER", 5, title="red")
    await put_on_shelf(rows, 3, "NONE", 0)
    await put_on_shelf(rows, 4, "HIDDEN", 1, on_sale=False)
    await put_on_shelf(rows, 5, "MANY", 400)
    await put_on_shelf(rows, 6, "PLENTY", 100_000)
    shelf = ShelfWatch(engine)
    await shelf.look({"MANY", "PLENTY", "NONE", "UNHEARD-OF"})
    sold = {"MANY": 200, "PLENTY": 300, "FEW": 2}
    low = shelf.low(lambda sku: sold.get(sku, 0))
    assert low.low == [
        RunningLow("MANY", "The many", 400, 200),
        RunningLow("FEW", "The few", LOW_STOCK_PIECES, 2),
        RunningLow("FEWER", "The fewer, red", 5),
    ], "what sells out soonest comes first, however many are left; then the fewest"
    assert (low.low_skus, low.sold_out_skus) == (2, 1)


async def test_the_lists_are_limited(engine: AsyncEngine, rows: "asyncpg.Connection[Any]") -> None:
    for number in range(LOW_STOCK_MAX + 5):
        await put_on_shelf(rows, number + 1, f"SKU-{number}", 2)
    shelf = ShelfWatch(engine)
    await shelf.look(())
    told = shelf.low(lambda sku: 0)
    assert len(told.low) == LOW_STOCK_MAX
    assert told.low_skus == LOW_STOCK_MAX + 5


async def test_top_selling_and_missed_skus_have_names(engine: AsyncEngine, rows: "asyncpg.Connection[Any]") -> None:
    await put_on_shelf(rows, 1, "MUG", 12)
    shelf = ShelfWatch(engine)
    minute = Window().summary(NOW)
    told = replace(minute, top_skus=[Selling("MUG", 3), Selling("NEW", 2)], missed_skus=[Missed("MUG", 1)])
    await shelf.look({"MUG", "NEW"})
    named = shelf.named(told)
    assert named.top_skus == [Selling("MUG", 3, "The mug", 12), Selling("NEW", 2)]
    assert named.missed_skus == [Missed("MUG", 1, "The mug")]
