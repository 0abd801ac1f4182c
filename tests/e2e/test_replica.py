"""A gateway that reads from a streaming replica, which is held back, killed and promoted while people order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.another import gateway
from tests.e2e.api import API, Answer, Client
from tests.e2e.ledger import stock_up, verified
from tests.replica import PostgresReplica, replica_of
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
WITHIN: Final = 10.0


class Setting(NamedTuple):
    """A system, its replica, and the URL of the gateway that reads from that."""

    system: System
    replica: PostgresReplica
    url: str


@pytest.fixture(scope="module")
def _read_from() -> Iterator[Setting]:
    with (
        System() as system,
        replica_of(system.postgres, system.home) as replica,
        gateway(system, TIDEGATE_READ_DATABASE_URL=replica.url, TIDEGATE_READ_LAG_MAX_SECONDS="3600") as url,
    ):
        yield Setting(system, replica, url)


@pytest_asyncio.fixture(scope="module")
async def setting(_read_from: Setting) -> Setting:
    await stock_up(_read_from.system, [SKU])
    return _read_from


@pytest.fixture
async def customer(setting: Setting) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(http, setting.url, setting.system.token("customer", "ann"), "ann")


async def shown(customer: Client, order_id: str, seq: str | None = None) -> Answer:
    headers = {} if seq is None else {"If-Seq-At-Least": seq}
    return await customer.request("GET", f"{API}/orders/{order_id}", headers=headers)


async def counted(setting: Setting, customer: Client, sample: str) -> float:
    """A sample of the gateway's metrics; 0 while there is none."""
    answer = await customer.request("GET", "/metrics")
    lines = answer.body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample))


async def becomes(setting: Setting, customer: Client, *, trusted: bool) -> None:
    async def is_so() -> bool:
        said = "yes" if trusted else "no"
        return await counted(setting, customer, f'tidegate_replica_gateways{{trusted="{said}"}}') == 2

    await eventually_seen(f"a replica that is{'' if trusted else ' not'} trusted", is_so, within_seconds=WITHIN)


async def test_a_read_that_names_a_seq_sees_its_write_although_the_replica_lags(
    setting: Setting, customer: Client
) -> None:
    await becomes(setting, customer, trusted=True)
    setting.replica.pause()
    placed = await customer.place({SKU: 1})
    order_id, seq = placed.ok(201)["id"], placed.headers["Tidegate-Seq"]
    (await shown(customer, order_id)).problem(404, "order_not_found")
    assert (await shown(customer, order_id, seq)).ok()["id"] == order_id
    assert await counted(setting, customer, 'tidegate_replica_reads_total{result="not_reached"}') >= 1

    async def lags() -> bool:
        return await counted(setting, customer, "tidegate_replica_lag_events") >= 1

    await eventually_seen("a lag", lags, within_seconds=WITHIN)
    setting.replica.resume()

    async def is_level() -> bool:
        return (await shown(customer, order_id)).status == 200

    await eventually_seen("the order, by the replica", is_level, within_seconds=WITHIN)
    assert await counted(setting, customer, "tidegate_replica_lag_events") <= 1
    await verified(setting.system)


async def test_nobody_notices_that_the_replica_is_killed_comes_back_and_is_promoted(
    setting: Setting, customer: Client
) -> None:
    """Each customer orders, and looks at once whether the order is there, for as long as that goes on."""
    ended = asyncio.Event()
    orders = 0

    async def shop() -> None:
        nonlocal orders
        while not ended.is_set():
            placed = await customer.place({SKU: 1})
            order_id, seq = placed.ok(201)["id"], placed.headers["Tidegate-Seq"]
            assert (await shown(customer, order_id, seq)).ok()["id"] == order_id
            (await customer.get("/orders", limit=3)).ok()
            (await customer.get("/products", limit=3)).ok()
            orders += 1

    async def disturb() -> None:
        try:
            await becomes(setting, customer, trusted=True)
            await asyncio.to_thread(setting.replica.kill)
            await becomes(setting, customer, trusted=False)
            await asyncio.to_thread(setting.replica.start)
            await becomes(setting, customer, trusted=True)
            await asyncio.to_thread(setting.replica.promote)
            await becomes(setting, customer, trusted=False)
        finally:
            ended.set()

    await asyncio.gather(disturb(), *(shop() for _ in range(8)))
    assert orders > 8
    await verified(setting.system)
