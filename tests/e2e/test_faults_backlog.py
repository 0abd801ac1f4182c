"""While the workers are too far behind, new orders are refused and nothing else is; then they are accepted again."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from gateway.writing.backlog import RETRY_MAX_SECONDS
from tests.e2e.api import order_body
from tests.e2e.faults import workers_stopped
from tests.e2e.faults_client import FaultsClient, Reply
from tests.e2e.ledger import stock_up, verified
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
WAIT_MAX_SECONDS: Final = 2
NOTICES_SECONDS: Final = 15.0


@pytest_asyncio.fixture(scope="module")
async def bounded() -> AsyncIterator[System]:
    settings = {"TIDEGATE_MAILBOX_COUNT": "1", "TIDEGATE_ORDER_WAIT_MAX_SECONDS": str(WAIT_MAX_SECONDS)}
    with System(settings) as running:
        await stock_up(running, [SKU])
        yield running


async def test_orders_that_would_wait_too_long_are_refused_until_the_workers_are_back(bounded: System) -> None:
    async with FaultsClient(bounded) as client:
        first = await client.place({SKU: 1}, wait=10)
        assert first.status == 201
        seen: list[Reply] = []

        async def place() -> Reply:
            seen.append(await client.place({SKU: 1}))
            return seen[-1]

        async def is_refused() -> bool:
            return (await place()).status == 503

        async def is_taken() -> bool:
            return (await place()).status == 202

        async with workers_stopped(bounded):
            kept = await client.place({SKU: 1}, key="kept")
            await eventually_seen("an order refused", is_refused, within_seconds=NOTICES_SECONDS)
            assert seen[-1].says_come_back("overloaded")
            assert 1 <= int(seen[-1].headers["Retry-After"]) <= RETRY_MAX_SECONDS
            assert {reply.status for reply in seen[:-1]} == {202}, "they were accepted until then"
            again = await client.place({SKU: 1}, key="kept")
            assert (again.status, again.body) == (202, kept.body), "a repetition adds nothing to the backlog"
            assert (await client.post("/orders", order_body({SKU: 1}))).status == 202, "staff may order"
            assert (await client.post(f"/orders/{first.body['id']}/confirm", {}, customer="patient")).status == 202
            assert (await client.get(f"/orders/{first.body['id']}", customer="patient")).status == 200
            assert (await client.health()).body["status"] == "ready"
        await eventually_seen("an order accepted", is_taken, within_seconds=NOTICES_SECONDS)
        assert (await client.place({SKU: 1}, wait=10)).status == 201
    await verified(bounded)
