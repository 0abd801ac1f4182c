"""Valkey, Postgres and the gateway killed or stopped under load: nothing accepted is lost, what can still be done is
done, clients are told to retry the rest, and all processes recover by themselves.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Final

import pytest
import pytest_asyncio

from tests import pace
from tests.e2e.faults import workers_stopped
from tests.e2e.faults_client import NO_ANSWER, FaultsClient
from tests.e2e.follower import Follower
from tests.e2e.ledger import Ledger, prove, stock_up
from tests.e2e.load import Accepted, Load
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
RECOVERS_SECONDS: Final = 5.0
# How many orders the load sees of each state before the next: most of a second's worth.
ORDERS: Final = 150
REFUSALS: Final = 150
WAITING_REQUESTS: Final = 20
GATEWAY_KILLS: Final = 2


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A well-stocked system, which the tests here break in turn. None of that may cause a traceback."""
    with System({"TIDEGATE_ORDER_WAIT_MAX_SECONDS": "0"}) as running:  # a stop of all workers is a long wait, too
        await stock_up(running, SKUS)
        yield running
        assert not running.tracebacks()


@pytest.mark.parametrize("workers", ["in_batches", "stopped"])
async def test_valkey_killed_under_load(system: System, workers: str) -> None:
    pids = system.pids()
    async with FaultsClient(system) as client, Follower(system) as follower, Load(system, SKUS) as load:
        placed = await _applied_order(system, load)
        async with workers_stopped(system) if workers == "stopped" else nullcontext():
            await load.accepts(ORDERS)  # while the workers are stopped, only Valkey has these
            waiting = [asyncio.create_task(client.place({SKUS[0]: 1}, wait=10)) for _ in range(WAITING_REQUESTS)]
            await asyncio.to_thread(system.valkey.kill)
        await load.is_refused(REFUSALS)
        assert all(refused.says_come_back("mailboxes_unavailable") for refused in load.refused)
        assert (await client.place({SKUS[0]: 1}, wait=5)).says_come_back("mailboxes_unavailable")
        assert await _is_read(client, placed)
        assert (await client.get(f"/commands/{placed.command_id}")).body["status"] == "applied"
        assert len((await client.get("/products")).body["items"]) == len(SKUS)
        assert (await client.health()).body == {"status": "degraded", "redis": False, "postgres": True}
        assert (await client.health()).status == 200
        assert (await client.get_health("ready?for=writes")).status == 503
        assert (await client.get_health("ready?for=reads")).status == 200

        await asyncio.to_thread(system.valkey.start)
        await load.accepts(ORDERS)
        await _waits_again(client)
        await follower.catches_up()
        answered = await asyncio.gather(*waiting)
        assert {reply.status for reply in answered} <= {201, 202, 503}
    assert load.refusals() == {(503, "mailboxes_unavailable")}
    await prove(system, load)
    assert follower.breaks == 0, "the feed stayed open for connected clients"
    assert system.pids() == pids, "no process had to be restarted"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGINT, id="fast"),
        pytest.param(signal.SIGQUIT, id="immediate"),
    ],
)
async def test_postgres_stopped_under_load(system: System, how: signal.Signals) -> None:
    pids = system.pids()
    async with FaultsClient(system) as client, Follower(system) as follower, Load(system, SKUS) as load:
        placed = await _applied_order(system, load)
        await asyncio.to_thread(system.postgres.stop_immediately if how is signal.SIGQUIT else system.postgres.stop)
        await load.accepts(ORDERS)
        assert (await client.place({SKUS[0]: 1}, wait=1)).status == 202
        for path in ("/products", "/orders", f"/orders/{placed.order_id}", f"/inventory/{SKUS[0]}", "/events"):
            assert (await client.get(path)).says_come_back("database_unavailable"), path
        assert (await client.get(f"/commands/{placed.command_id}")).says_come_back("database_unavailable")
        assert (await client.health()).body == {"status": "degraded", "redis": True, "postgres": False}
        assert (await client.health()).status == 200
        assert (await client.get_health("ready?for=reads")).status == 503
        assert (await client.get_health("ready?for=writes")).status == 200

        await asyncio.to_thread(system.postgres.start)
        await eventually_seen("a view again", lambda: _is_read(client, placed), within_seconds=RECOVERS_SECONDS)
        await _waits_again(client)
        await follower.catches_up()
    assert load.refusals() == set(), "every write was accepted"
    await prove(system, load)
    assert follower.breaks == 0, "the feed stayed open for connected clients"
    assert system.pids() == pids, "no process had to be restarted"


async def test_gateway_killed_under_load(system: System) -> None:
    async with FaultsClient(system) as client, Follower(system) as follower, Load(system, SKUS) as load:
        for _ in range(GATEWAY_KILLS):
            await load.accepts(ORDERS)
            await follower.catches_up()
            await asyncio.to_thread(system.kill_process, "gateway")
            system.start_process("gateway")
            await load.is_refused(1)
        await load.accepts(ORDERS)
        await _waits_again(client)
        await follower.catches_up()
    assert load.refusals() == {(NO_ANSWER, None)}
    await prove(system, load)
    assert follower.breaks == GATEWAY_KILLS
    async with FaultsClient(system) as client:
        for first in load.accepted[:ORDERS:10]:
            order = first.order
            again = await client.place(order.lines, customer=order.customer, key=order.key)
            assert again.status == 202
            assert again.headers["Idempotency-Replayed"] == "true"
            assert (again.body["id"], again.body["command_id"]) == (first.order_id, first.command_id)


async def _applied_order(system: System, load: Load) -> Accepted:
    """An order of the load that is in Postgres, once the load is running."""
    await load.accepts(ORDERS)
    placed = load.accepted[0]
    async with Ledger(system) as ledger:
        await eventually_seen(
            "the first order applied", lambda: ledger.finished([placed.command_id]), within_seconds=RECOVERS_SECONDS
        )
    return placed


async def _waits_again(client: FaultsClient) -> None:
    """Fails unless a client that waits for an outcome gets it before its wait is over."""

    async def gets_it() -> bool:
        try:
            async with pace.timeout(1):
                return (await client.place({SKUS[0]: 1}, wait=10)).status == 201
        except TimeoutError:
            return False

    await eventually_seen("an outcome waited for", gets_it, within_seconds=RECOVERS_SECONDS)


async def _is_read(client: FaultsClient, placed: Accepted) -> bool:
    return (await client.get(f"/orders/{placed.order_id}", customer=placed.order.customer)).status == 200
