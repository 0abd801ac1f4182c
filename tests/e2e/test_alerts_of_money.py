"""The alerts about money fire in a real system whose fault is provoked, as a real Prometheus sees it, and not before: a
provider that is gone, buyers who paid for nothing, webhooks that nobody signed, taxes that nobody computes, deliveries
that nobody prices."""

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from ops.ports import free_port
from runtime.database import asyncpg_dsn
from tests.e2e.alerted import silent_until_now
from tests.e2e.api import Client
from tests.e2e.ledger import verified
from tests.e2e.readings import read
from tests.e2e.shop import Shop
from tests.e2e.watching import SPEED, Prometheus, prometheus
from tests.integration.counter import SECRET
from tests.listings import Listings
from tests.system import System, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

WITHIN_SECONDS: Final = 60.0
SETTINGS: Final = {
    "TIDEGATE_TASK_RETRY_MAX_SECONDS": "1",
    "TIDEGATE_TAX_PROVIDER": "remote",
    "TIDEGATE_TAX_SECRET": SECRET,
    "TIDEGATE_DELIVERY_PROVIDER": "remote",
    "TIDEGATE_DELIVERY_SECRET": SECRET,
}

# What has to last for half an hour, and may do so for seconds when a test has no more.
SOONER: Final = {"TidegatePaymentsPending": ("> 1800", "> 3")}


class Watched(NamedTuple):
    shop: Shop
    prometheus: Prometheus


@pytest_asyncio.fixture(scope="module")
async def watched() -> AsyncIterator[Watched]:
    nowhere = f"http://127.0.0.1:{free_port()}"
    urls = {"TIDEGATE_TAX_URL": nowhere, "TIDEGATE_DELIVERY_URL": nowhere}
    with System({**SETTINGS, **urls}, sandbox=True) as system:
        database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
        async with (
            aiohttp.ClientSession() as http,
            Listings(system) as listings,
            prometheus(system, SOONER, every_seconds=4) as watching,
        ):
            shop = Shop(system, http, database, listings)
            assert (await _paid(shop))["status"] == "charged"
            assert await _hook(shop) == 401
            await watching.has_seen(3)
            assert set(await watching.firing()) <= SPEED
            yield Watched(shop, watching)
        await database.close()
        await verified(system)


async def _ordered(shop: Shop) -> tuple[Client, str]:
    customer = shop.customer()
    order = await customer.placed({await shop.product(on_hand=9): 1})
    return customer, order["id"]


async def _cart(shop: Shop) -> dict[str, Any]:
    """What a checkout to Leeds is opened with."""
    address = {"name": "Ada Lovelace", "line1": "1 High Street", "city": "Leeds", "country": "GB"}
    return {"lines": [{"sku": await shop.product(on_hand=9), "quantity": 1}], "address": address}


async def _paid(shop: Shop) -> dict[str, Any]:
    """A payment of an order, once the provider has answered."""
    customer, order_id = await _ordered(shop)
    payment: dict[str, Any] = {}

    async def is_charged() -> bool:
        payment.update((await customer.get(f"/payments/{payment['id']}")).ok())
        return bool(payment["status"] == "charged")

    said = {"provider": "sandbox", "method": "card"}
    payment.update((await customer.post(f"/orders/{order_id}/payments", said)).ok(201))
    await eventually_seen("a payment that is charged", is_charged, within_seconds=WITHIN_SECONDS)
    return payment


async def _hook(shop: Shop) -> int:
    """Tells the shop something of a payment that no provider has signed; returns the answer's status."""
    url = f"{shop.system.url}/hooks/payments/sandbox"
    async with shop.http.post(url, json={"type": "payment.moved"}) as response:
        return response.status


async def test_a_provider_that_is_gone(watched: Watched) -> None:
    shop, watching = watched
    names = ("TidegateProviderFails", "TidegatePaymentsPending")
    async with silent_until_now(watching, *names):
        shop.system.kill_process("sandbox")
        customer, order_id = await _ordered(shop)
        said = {"provider": "sandbox", "method": "card"}
        payment = (await customer.post(f"/orders/{order_id}/payments", said)).ok(201)
        assert payment["status"] == "pending"
        for name in names:
            await watching.fires(name, provider="sandbox")
    shop.system.start_process("sandbox")
    await watching.ends("TidegatePaymentsPending")
    assert (await customer.get(f"/orders/{order_id}")).ok()["status"] == "confirmed"


async def test_a_payment_for_a_cancelled_order_raises_an_alert_until_it_is_refunded(watched: Watched) -> None:
    shop, watching = watched
    async with silent_until_now(watching, "TidegatePaymentsOrphaned"):
        payment = await _paid(shop)
        (await shop.staff.post(f"/orders/{payment['order_id']}/cancel")).ok()
        await watching.fires("TidegatePaymentsOrphaned")
    (listed,) = (await shop.staff.get("/payments", orphaned="true")).ok()["items"]
    order = (await shop.staff.get(f"/orders/{payment['order_id']}")).ok()
    assert (listed["id"], listed["orphaned_since"]) == (payment["id"], order["updated_at"])
    refund = {"amount_minor": payment["charged_minor"], "reason": "The order is no more"}
    (await shop.staff.post(f"/payments/{payment['id']}/refund", refund)).ok()
    await watching.ends("TidegatePaymentsOrphaned")
    assert (await shop.staff.get("/payments", orphaned="true")).ok()["items"] == []
    counted = await read(shop)
    moved = {change: counted("tidegate_paid_minor_total", change=change) for change in ("charged", "refunded")}
    assert moved["refunded"] == payment["charged_minor"] < moved["charged"]


async def test_webhooks_that_nobody_signed(watched: Watched) -> None:
    shop, watching = watched
    async with silent_until_now(watching, "TidegatePaymentWebhooksRefused"):

        async def is_noticed() -> bool:
            assert await _hook(shop) == 401
            noticed = (await watching.firing()).get("TidegatePaymentWebhooksRefused", ())
            return any(each["provider"] == "sandbox" for each in noticed)

        await eventually_seen("TidegatePaymentWebhooksRefused", is_noticed, within_seconds=WITHIN_SECONDS)


async def test_a_tax_provider_that_is_gone(watched: Watched) -> None:
    """A shop that states no taxes asks nobody for any."""
    shop, watching = watched
    admin = shop.client("admin", "shop-admin")
    async with silent_until_now(watching, "TidegateTaxProviderFails"):
        (await admin.put("/terms/taxes", {"home": "GB"})).ok()
        checkout = (await shop.customer().post("/checkouts", await _cart(shop))).ok(201)
        assert [each["code"] for each in checkout["requirements"]] == ["taxes_pending"]
        await watching.fires("TidegateTaxProviderFails", provider="remote")
    await shop.take_terms_back()


async def test_a_delivery_provider_that_is_gone(watched: Watched) -> None:
    """It is asked about whatever checkout somebody opens, but not for long about any one."""
    shop, watching = watched
    admin, cart = shop.client("admin", "shop-admin"), await _cart(shop)
    async with silent_until_now(watching, "TidegateDeliveryProviderFails"):
        (await admin.put(f"/terms/methods/{uuid4()}", {"name": "Van", "live": True})).ok()

        async def is_noticed() -> bool:
            assert (await shop.customer().post("/checkouts", cart)).ok(201)["delivery_options_pending"]
            noticed = (await watching.firing()).get("TidegateDeliveryProviderFails", ())
            return any(each["provider"] == "remote" for each in noticed)

        await eventually_seen("TidegateDeliveryProviderFails", is_noticed, within_seconds=WITHIN_SECONDS)
    await shop.take_terms_back()
