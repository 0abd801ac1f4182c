"""Whatever plan Postgres chooses, the same commands leave the same log, and what is in an order stays in order."""

from typing import Any, Final
from uuid import UUID

import pytest

from domain.catalogue import ACTIVE, ARCHIVED, ChangeProduct, CreateProduct, ProductFields, VariantFields
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder, Wanted
from gateway.views.exports import order_lines_between
from gateway.views.orders import Wanted as WantedOrders
from gateway.views.orders import find, newest
from runtime.engine import create_engine
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.test_verify import Shop
from tests.plans import PLANS, force
from tests.servers import Databases

# Neither in the order of the alphabet nor against it.
ASKED: Final = ("MUG", "ZEBRA", "APPLE", "LAMP", "B-2", "B-10")


async def _trade(floor: Shopfloor) -> list[UUID]:
    """Everything that can become of an order, with many lines; the ids of the orders."""
    await floor.fill(**dict.fromkeys(ASKED, 1_000))
    orders = [
        PlaceOrder(floor.new_id(number % 4), "ann", tuple(Wanted(sku, number + 1) for sku in ASKED))
        for number in range(6)
    ]
    ids = [order.order_id for order in orders]
    await floor.post_all(orders)
    await floor.drain()
    await floor.post_all(
        [ConfirmOrder(ids[1]), ConfirmOrder(ids[2]), ConfirmOrder(ids[3]), CancelOrder(ids[4]), ExpireOrder(ids[5])],
        who=STAFF,
    )
    await floor.drain()
    await floor.post_all([FulfilOrder(ids[2]), CancelOrder(ids[3])], who=STAFF)
    await floor.post(floor.place(0, NEVER=1, HEARD=1, OF=1))
    await floor.post(PlaceOrder(floor.new_id(), "ann", tuple(Wanted(sku, 9_999) for sku in ASKED)))
    await floor.drain()
    return ids


async def _restock_the_catalogue(floor: Shopfloor) -> None:
    product_id = floor.new_id()
    colours = ("white", "black", "red", "blue")
    variants = tuple(VariantFields(f"CUP-{colour.upper()}", 100, "GBP", colour) for colour in colours)
    await floor.post(CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), variants), who=STAFF)
    await floor.drain()
    await floor.post(ChangeProduct(product_id, {"status": ARCHIVED}), who=STAFF)
    await floor.post(PlaceOrder(floor.new_id(), "ann", tuple(Wanted(variant.sku, 1) for variant in variants)))
    await floor.drain()


async def _everything_at(database_url: str, redis_url: str) -> list[tuple[Any, ...]]:
    """Does all there is to do, one mailbox after another, has it verified, and returns the log that it left."""
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.redis.flushall()
        shop = Shop(floor)
        await shop.open()
        ids = await _trade(floor)
        await _restock_the_catalogue(floor)
        await floor.verified()
        await _lines_are_as_asked(floor, ids)
        return [
            tuple(row)
            for row in await floor.pool.fetch(
                "SELECT seq, type, subject, actor, data::text FROM events"
                # Who sent garbage is not known, so its command is named after the moment at which it came.
                " WHERE data->>'command' IS DISTINCT FROM 'unreadable' ORDER BY seq"
            )
        ]


async def _lines_are_as_asked(floor: Shopfloor, ids: list[UUID]) -> None:
    """In the log, in one order, in a list of orders, in an export."""
    told = await floor.pool.fetch(
        "SELECT subject, type, data::json->'lines' AS lines FROM events"
        " WHERE subject = ANY($1::text[]) AND data::json->'lines' IS NOT NULL",
        [str(order_id) for order_id in ids],
    )
    assert len(told) == 6 + 3 + 3
    for row in told:
        assert _in_order(row["lines"]), (row["subject"], row["type"])
    engine = create_engine(floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            order = await find(connection, STAFF, ids[0])
            assert order is not None
            assert [line.sku for line in order.lines] == list(ASKED)
            page = await newest(connection, STAFF, WantedOrders(customer_id="ann"), None, 50)
            of_many = [order for order in page.items if len(order.lines) > 2]
            assert [[line.sku for line in order.lines] for order in of_many] == [list(ASKED)] * 6
            rows = (await connection.execute(order_lines_between(None, None, None).query)).all()
            exported = [row.sku for row in rows if row.id in ids]
            assert exported == list(ASKED) * 6
    finally:
        await engine.dispose()


def _in_order(lines: str) -> bool:
    places = [lines.index(f'"{sku}"') for sku in ASKED]
    return places == sorted(places)


@pytest.fixture(scope="module")
async def usual_log(databases: Databases, _shared_redis_url: str) -> list[tuple[Any, ...]]:
    """What is left where Postgres plans as it likes."""
    with databases.migrated() as url:
        return await _everything_at(url, _shared_redis_url)


@pytest.mark.parametrize("plan", [name for name in PLANS if PLANS[name]])
async def test_the_log_is_the_same_whatever_the_plan(
    usual_log: list[tuple[Any, ...]], databases: Databases, redis_url: str, plan: str
) -> None:
    with databases.migrated() as url:
        await force(url, PLANS[plan])
        assert await _everything_at(url, redis_url) == usual_log
