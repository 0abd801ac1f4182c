"""Whatever plan Postgres chooses, the same commands leave the same log, and what is ordered stays ordered."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from secrets import randbits
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from domain.catalogue import ACTIVE, ARCHIVED, ChangeProduct, CreateProduct, ProductFields, VariantFields
from domain.ids import new_id
from domain.model import Command, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from gateway.views.exports import order_lines_between
from gateway.views.orders import Wanted as WantedOrders
from gateway.views.orders import find, newest
from runtime.engine import create_engine
from runtime.mailboxes.rejoin import rejoin
from tests import pace
from tests.integration.bigshop import open_big_shop
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.smallshop import Shop
from tests.integration.test_verify_cli import peak_memory
from tests.plans import PLANS, PLANS_VARIABLE, force
from tests.servers import Databases

# In neither alphabetical nor reverse order.
ASKED: Final = ("MUG", "ZEBRA", "APPLE", "LAMP", "B-2", "B-10")


async def _trade(floor: Shopfloor) -> list[UUID]:
    """Takes orders with many lines through everything that can happen to them; returns their ids."""
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
        actor=STAFF,
    )
    await floor.drain()
    await floor.post_all([FulfilOrder(ids[2]), CancelOrder(ids[3])], actor=STAFF)
    await floor.post(floor.place(0, NEVER=1, HEARD=1, OF=1))
    await floor.post(PlaceOrder(floor.new_id(), "ann", tuple(Wanted(sku, 9_999) for sku in ASKED)))
    await floor.drain()
    return ids


async def _restock_the_catalogue(floor: Shopfloor) -> None:
    product_id = floor.new_id()
    colours = ("white", "black", "red", "blue")
    variants = tuple(VariantFields(f"CUP-{colour.upper()}", 100, "GBP", colour) for colour in colours)
    await floor.post(CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), variants), actor=STAFF)
    await floor.drain()
    await floor.post(ChangeProduct(product_id, {"status": ARCHIVED}), actor=STAFF)
    await floor.post(PlaceOrder(floor.new_id(), "ann", tuple(Wanted(variant.sku, 1) for variant in variants)))
    await floor.drain()


class _InTurn(Shopfloor):
    """Drains one mailbox after another: drained together, their order would depend on the millisecond."""

    async def drain(self, *mailboxes: int) -> None:
        for mailbox in mailboxes or range(self.mailbox_count):
            await super().drain(mailbox)


async def _everything_at(database_url: str, redis_url: str) -> list[tuple[Any, ...]]:
    """Does everything, one mailbox after another, verifies it, and returns the resulting log."""
    async with _InTurn(database_url, redis_url) as floor:
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
                "SELECT seq, type, subject, actor, (data::jsonb - 'priced_at')::text FROM events"  # a moment differs
                # The sender of garbage is unknown, so its command is named after the moment it arrived.
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
    """The log of Postgres's own choice of plans."""
    with databases.migrated() as url:
        return await _everything_at(url, _shared_redis_url)


@pytest.mark.campaign
@pytest.mark.parametrize("plan", [name for name in PLANS if PLANS[name]])
async def test_the_log_is_the_same_whatever_the_plan(
    usual_log: list[tuple[Any, ...]], databases: Databases, redis_url: str, plan: str
) -> None:
    with databases.migrated() as url:
        await force(url, PLANS[plan])
        assert await _everything_at(url, redis_url) == usual_log


BIG_SHOP_ORDERS: Final = 100_000
VERIFY_MAX_BYTES: Final = 150 * 2**20


@pytest.fixture(scope="module")
async def big_shop(databases: Databases, _shared_redis_url: str) -> AsyncIterator[str]:
    """The URL of a database with 100,000 orders of the real baskets, 2.7 million lines."""
    with databases.migrated() as url:
        async with Shopfloor(url, _shared_redis_url) as floor:
            await open_big_shop(floor, BIG_SHOP_ORDERS)
        yield url


@pytest.mark.plans
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("plan", PLANS)
async def test_a_big_shop_trades_and_is_clean_whatever_the_plan(big_shop: str, redis_url: str, plan: str) -> None:
    await force(big_shop, PLANS[plan])
    async with Shopfloor(big_shop, redis_url) as floor:
        # This Redis is new, unlike the shop.
        await rejoin(floor.pool, floor.redis, floor.inbox, range(floor.mailbox_count))
        asked = [*reversed(await floor.pool.fetch("SELECT sku FROM stock ORDER BY sku LIMIT 50"))]
        lines = tuple(Wanted(row["sku"], 1) for row in asked)
        orders = [PlaceOrder(new_id(time.time_ns() // 10**6, n, randbits(62)), "ann", lines) for n in range(6)]
        ids = [order.order_id for order in orders]
        posted = await _posted_anew(floor, orders)
        posted += await _posted_anew(floor, [ConfirmOrder(ids[0]), ConfirmOrder(ids[1]), ConfirmOrder(ids[2])])
        posted += await _posted_anew(
            floor, [FulfilOrder(ids[0]), CancelOrder(ids[1]), CancelOrder(ids[3]), ExpireOrder(ids[4])]
        )
        assert set(await floor.statuses(posted)) == {"applied"}
        told = await floor.pool.fetch(
            "SELECT data::json->'lines' AS lines FROM events WHERE command_id = ANY($1::uuid[])", posted
        )
        said = [json.loads(row["lines"]) for row in told if row["lines"]]
        assert len(said) == 6 + 3 + 3
        assert {tuple(line["sku"] for line in of_one) for of_one in said} == {tuple(line.sku for line in lines)}

        report, peak = await asyncio.to_thread(peak_memory, big_shop, redis_url)
        assert report["clean"], report["differences"]
        assert report["counts"]["orders"] >= BIG_SHOP_ORDERS + len(ids)
        assert peak < VERIFY_MAX_BYTES, f"{peak / 2**20:.0f} MiB"


async def _posted_anew(floor: Shopfloor, commands: Sequence[Command]) -> list[UUID]:
    """Posts and drains, with ids that no earlier plan has used."""
    posted = [await floor.post(command, actor=STAFF, command_id=uuid4()) for command in commands]
    await floor.drain()
    return posted


@pytest.mark.plans
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("plan", [name for name in PLANS if PLANS[name]])
def test_the_suites_core_passes_whatever_the_plan(plan: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not campaign", *CORE],
        env={**os.environ, PLANS_VARIABLE: ",".join(PLANS[plan])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=pace.seconds(900),
    )
    assert done.returncode == 0, done.stdout[-20_000:]


CORE: Final = [
    f"tests/integration/test_{name}.py"
    for name in (
        "races",
        "repeats",
        "dead_letters",
        "expiry",
        "catalogue_races",
        "ownership",
        "verify",
        "verify_entities",
    )
]
