"""A real Prometheus watches a busy system: every query of the dashboard and every expression of the rules works on what
is there; nothing fires in a healthy shop, and what is wrong fires its alert.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from runtime.database import asyncpg_dsn
from tests.e2e.faults import background_stopped, workers_stopped
from tests.e2e.feed import Feeds, contract_of
from tests.e2e.ledger import verified
from tests.e2e.people import newcomer, sign_in
from tests.e2e.shop import Shop
from tests.e2e.watching import SPEED, Prometheus, prometheus
from tests.listings import Listings
from tests.prometheus import dashboard_queries, rules, selectors
from tests.receiver import Receiver
from tests.system import System, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(300)]

WITHIN_SECONDS: Final = 60.0

# They appear with the first trouble of their kind, and a healthy shop has none.
TROUBLE: Final = (
    "tidegate_dead_letters_total",
    "tidegate_batch_retries_total",
    "tidegate_reaction_failures_total",
    "tidegate_reaction_dead_letters_total",
    "tidegate_mails_withheld_total",
    "tidegate_throttled_total",
    "tidegate_connections_refused_total",
    "tidegate_requests_timed_out_total",
    "tidegate_sockets_refused_total",
    "tidegate_verify_written_by_hand_total",
    "tidegate_verify_differences_found_total",
    'status=~"5.."',
    'code="4008"',
    'result!="answered"',
)

# They are there while a task waits.
BACKLOG: Final = ("tidegate_tasks", "tidegate_task_oldest_due_seconds")

# They are there where there is a replica, which `test_replica.py` has.
OF_REPLICAS: Final = ("tidegate_replica_gateways", "tidegate_replica_reads_total")

# They are there where providers of taxes and of live rates are called, which `test_providers.py` does.
OF_PROVIDERS: Final = ("tidegate_tax_call_seconds", "tidegate_delivery_call_seconds")

ABSENT: Final = (*TROUBLE, *BACKLOG, *OF_REPLICAS, *OF_PROVIDERS)


class Watched(NamedTuple):
    shop: Shop
    prometheus: Prometheus


@pytest_asyncio.fixture(scope="module")
async def watched() -> AsyncIterator[Watched]:
    """A shop that has been busy since Prometheus began to look."""
    with System() as system:
        database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
        async with (
            aiohttp.ClientSession() as http,
            Listings(system) as listings,
            Receiver() as receiver,
            prometheus(system) as watching,
        ):
            shop = Shop(system, http, database, listings)
            feeds = Feeds(system, http, await contract_of(system, http))
            await watching.has_seen(1)
            await _everything_once(shop, feeds, receiver)
            await _orders(shop, feeds, watching)
            yield Watched(shop, watching)
        await database.close()
        await verified(system)


async def _everything_once(shop: Shop, feeds: Feeds, receiver: Receiver) -> None:
    """Something of each kind that metrics count."""
    sku = await shop.product(on_hand=9)
    await sign_in(shop, await newcomer(shop))
    (await shop.staff.post("/webhooks", {"url": receiver.url, "event_types": ["order.placed"]})).ok(201)
    order = {"lines": [{"sku": sku, "quantity": 1}], "email": "somebody@shop.example"}
    (await shop.anybody.post("/orders", order)).ok(201)
    await receiver.has(1)
    (await shop.customer().place({sku: 99})).problem(409, "insufficient_stock")
    await _money(shop, sku)
    await asked_for_a_report(shop)
    async with feeds.staff() as socket:
        await socket.subscribe("log", after=0)
        await socket.next("events")


async def _money(shop: Shop, sku: str) -> None:
    """A checkout that is refused, then completed and paid; and a webhook that nobody signed."""
    buyer = shop.customer()
    checkout = (await buyer.post("/checkouts", {"lines": [{"sku": sku, "quantity": 1}]})).ok(201)
    path = f"/checkouts/{checkout['id']}/complete"
    (await buyer.post(path, {"expected_total_minor": 1})).problem(409, "checkout_changed")
    body = {"expected_total_minor": checkout["quote"]["total_minor"], "payment": {"provider": "invoice"}}
    payment = (await buyer.post(path, body)).ok(201)["payment"]
    settled = {"reference": payment["id"], "succeeded": True}
    assert (await shop.staff.post(f"/payments/{payment['id']}/settle", settled)).ok()["status"] == "charged"
    async with shop.http.post(f"{shop.system.url}/hooks/payments/invoice", json={}) as response:
        assert response.status == 401


async def _orders(shop: Shop, feeds: Feeds, watching: Prometheus) -> None:
    """Orders, followed over a socket, until Prometheus has looked often enough to know rates."""
    sku = await shop.product(on_hand=100_000)
    enough = asyncio.create_task(watching.has_seen(5))
    async with feeds.staff() as socket:
        await socket.subscribe(f"inventory/{sku}")
        while not enough.done():
            await asyncio.gather(*(shop.customer().placed({sku: 1}) for _ in range(8)))
            order = await shop.customer().placed({sku: 1})
            (await shop.staff.post(f"/orders/{order['id']}/confirm")).ok()
            (await shop.customer().get("/products")).ok()
            await socket.next("events")
    await enough


def names_any(text: str, words: tuple[str, ...]) -> bool:
    return any(each in text for each in words)


async def asked_for_a_report(shop: Shop) -> None:
    asked = {"kind": "sales", "from": "2026-01-01", "to": "2026-01-02", "by": "day"}
    assert (await shop.staff.post("/reports", asked, wait=0)).status in (201, 202)


async def test_every_query_of_the_dashboard_has_data(watched: Watched) -> None:
    queries = list(dashboard_queries())
    assert len(queries) > 60
    empty = [query for query in queries if not await watched.prometheus.query(query)]
    assert [query for query in empty if not names_any(query, ABSENT)] == []


async def test_every_rule_works_on_what_is_there(watched: Watched) -> None:
    """An alert's expression selects nothing in a healthy shop, so each of the series that it looks at must be there."""
    for rule in rules():
        answer = await watched.prometheus.query(rule.expr)
        assert bool(answer) != rule.is_alert, (rule.name, answer)
        for selector in selectors(rule.expr):
            if not names_any(selector.text, ABSENT):
                assert await watched.prometheus.query(selector.text), (rule.name, selector.text)


async def test_queries_about_waiting_tasks_find_one(watched: Watched) -> None:
    queries = [*dashboard_queries(), *(selector.text for rule in rules() for selector in selectors(rule.expr))]
    looking = [query for query in queries if names_any(query, BACKLOG)]
    assert len(looking) > 4
    async with background_stopped(watched.shop.system):
        await asked_for_a_report(watched.shop)
        for query in looking:

            async def has_data(query: str = query) -> bool:
                return bool(await watched.prometheus.query(query))

            await eventually_seen(query, has_data, within_seconds=WITHIN_SECONDS)


async def test_prometheus_evaluates_every_rule(watched: Watched) -> None:
    evaluated = await watched.prometheus.evaluated()
    assert {name: error for name, error in evaluated.items() if error} == {}
    assert set(evaluated) == {rule.name for rule in rules()}


async def wrong(watching: Prometheus) -> set[str]:
    return set(await watching.firing()) - SPEED


async def test_alerts_fire_when_something_is_wrong_and_end_with_it(watched: Watched) -> None:
    shop, watching = watched
    assert await wrong(watching) == set()
    sku = await shop.product(on_hand=1)
    mailbox = str(shop.mailbox_of(sku))
    async with workers_stopped(shop.system):
        waiting = (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1}, wait=None)).ok(202)
        await watching.fires("TidegateProcessHangs", role="worker")
        await watching.fires("TidegateCommandsWait", mailbox=mailbox)
        assert await wrong(watching) == {"TidegateProcessHangs", "TidegateCommandsWait"}
    await shop.staff.settled(waiting["command_id"])

    async def is_calm() -> bool:
        return not await wrong(watching)

    await eventually_seen("no alert", is_calm, within_seconds=WITHIN_SECONDS)

    await shop.put_entry(int(mailbox), {b"v": b"1", b"e": b"\xff"})
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
    await watching.fires("TidegateDeadLetters", code="unreadable_envelope")
    assert await wrong(watching) == {"TidegateDeadLetters"}
