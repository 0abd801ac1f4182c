"""Background processes killed or stopped while they make a report, Postgres restarted meanwhile, and the longest
possible report while orders come in: each report is finished once, with the right sums, and orders are unaffected.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.faults import kill
from tests.e2e.faults_client import FaultsClient
from tests.e2e.ledger import Ledger, prove, stock_up, verified
from tests.e2e.load import Load
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT")
FINISHES_SECONDS: Final = 30.0
ORDERS: Final = 150
_WAITS: Final = """
    SELECT pid FROM pg_stat_activity
    WHERE application_name = 'tidegate-job' AND wait_event_type = 'Lock' AND query LIKE '%pg_temp.sums%'
"""


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System({"TIDEGATE_TASK_LEASE_SECONDS": "2"}) as running:
        await stock_up(running, SKUS)
        yield running
        assert not running.tracebacks()


async def _sell(client: FaultsClient) -> None:
    for sku, quantity in zip(SKUS, (2, 3), strict=True):
        order = await client.place({sku: quantity}, wait=10)
        assert order.status == 201, order
        confirmed = await client.post(f"/orders/{order.body['id']}/confirm", {}, wait=10)
        assert confirmed.status == 200, confirmed


async def _request(client: FaultsClient, days: int = 2, **more: Any) -> str:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    body = {"kind": "sales", "by": "sku", "format": "json", "statuses": ["placed", "confirmed"], **more}
    reply = await client.post("/reports", {**body, "from": str(tomorrow - timedelta(days=days)), "to": str(tomorrow)})
    assert reply.status == 201, reply
    return str(reply.body["id"])


async def _finished(client: FaultsClient, report_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        reply = await client.get(f"/reports/{report_id}")
        return reply.body if reply.status == 200 and reply.body["status"] in ("succeeded", "failed") else {}

    report = await eventually_seen("a finished report", look, within_seconds=FINISHES_SECONDS)
    assert report["status"] == "succeeded", report
    return report


async def _proved(system: System, client: FaultsClient, report_id: str) -> None:
    """Fails unless the sums are the orders', and the log says exactly once that the report is finished."""
    rows = (await client.get(f"/reports/{report_id}/result")).body["rows"]
    async with Ledger(system) as ledger:
        sold = await ledger.connection.fetch(
            "SELECT sku, count(*), sum(quantity), sum(quantity * unit_price_minor) FROM order_lines GROUP BY sku"
        )
        assert [(row["sku"], row["orders"], row["pieces"], row["revenue_minor"]) for row in rows] == sorted(
            tuple(row) for row in sold
        )
        finished = "SELECT count(*) FROM events WHERE type = 'job.finished' AND subject = $1"
        assert await ledger.connection.fetchval(finished, report_id) == 1
    await verified(system)


@asynccontextmanager
async def _in_the_middle(system: System, client: FaultsClient) -> AsyncIterator[str]:
    """Requests a report, which is held in the middle of its sums while the block runs; yields its id."""
    async with Ledger(system) as ledger, Ledger(system) as holding:

        async def seen() -> bool:
            return bool(await ledger.connection.fetch(_WAITS))

        await holding.connection.execute("BEGIN; LOCK TABLE order_lines IN ACCESS EXCLUSIVE MODE")
        report_id = await _request(client)
        await eventually_seen("a report in the middle of its sums", seen, within_seconds=10)
        yield report_id


async def test_a_background_process_killed_while_it_makes_a_report(system: System) -> None:
    async with FaultsClient(system) as client:
        await _sell(client)
        async with _in_the_middle(system, client) as report_id:
            assert (await client.get(f"/reports/{report_id}")).body["status"] == "running"
            await kill(*system.background_pids())
        report = await _finished(client, report_id)
        assert report["attempts"] >= 2
        await _proved(system, client, report_id)


async def test_postgres_restarted_while_a_report_is_made(system: System) -> None:
    async with FaultsClient(system) as client:
        await _sell(client)
        async with _in_the_middle(system, client) as report_id:
            await asyncio.to_thread(system.postgres.stop_immediately)
        await asyncio.to_thread(system.postgres.start)
        report = await _finished(client, report_id)
        assert report["attempts"] >= 2
        await _proved(system, client, report_id)


async def test_the_longest_report_does_not_hold_up_orders(system: System) -> None:
    async with FaultsClient(system) as client, Load(system, SKUS) as load:
        await load.accepts(ORDERS)
        reports = [await _request(client, 3_650, by=by) for by in ("day", "sku", "category", "customer")]
        await load.accepts(ORDERS)
        for report_id in reports:
            await _finished(client, report_id)
        await load.accepts(ORDERS)
    assert not load.refused
    await prove(system, load)
