"""A shop whose taxes and live delivery rates services outside say, as processes of their own: from the cart to the
refund, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import pytest

from ops.articles import Article
from tests.e2e.api import Client
from tests.integration.counter import SECRET, Office
from tests.integration.delivering import VAN_MINOR, weighs
from tests.integration.taxing import computes
from tests.listings import Listings
from tests.receiver import Receiver, hangs
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

_ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "1 Congress Avenue",
    "city": "Austin",
    "country": "US",
    "region": "TX",
    "postal_code": "78701",
}
_WITHIN_SECONDS = 30.0


class Asking(NamedTuple):
    """The shop, and the services: of taxes, and of deliveries."""

    system: System
    http: aiohttp.ClientSession
    office: Office
    depot: Office

    def client(self, role: str, name: str) -> Client:
        return Client(self.http, self.system.url, self.system.token(role, name), name)


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    async with Receiver() as of_taxes, Receiver() as of_deliveries:
        office, depot = Office(of_taxes, hangs), Office(of_deliveries, hangs)
        settings = {
            "TIDEGATE_TAX_PROVIDER": "remote",
            "TIDEGATE_TAX_URL": office.url,
            "TIDEGATE_TAX_SECRET": SECRET,
            "TIDEGATE_TAX_TIMEOUT_SECONDS": "0.5",
            "TIDEGATE_DELIVERY_PROVIDER": "remote",
            "TIDEGATE_DELIVERY_URL": depot.url,
            "TIDEGATE_DELIVERY_SECRET": SECRET,
            "TIDEGATE_DELIVERY_TIMEOUT_SECONDS": "0.5",
            "TIDEGATE_TASK_RETRY_MAX_SECONDS": "0.2",
        }
        with System(settings, sandbox=True) as system:
            async with aiohttp.ClientSession() as http:
                yield Asking(system, http, office, depot)


async def test_a_delivery_and_its_taxes_are_asked_for_charged_committed_and_refunded(asking: Asking) -> None:
    admin, staff, ann = (asking.client(role, role) for role in ("admin", "staff", "customer"))
    van, post = f"{uuid4()}", f"{uuid4()}"
    (await admin.put("/terms/taxes", {"home": "US"})).ok()
    (await admin.put(f"/terms/methods/{van}", {"name": "Van", "live": True})).ok()
    rates = [{"currency": "GBP", "price_minor": 40}]
    (await admin.put(f"/terms/methods/{post}", {"name": "Post", "rates": rates})).ok()
    async with Listings(asking.system) as listings:
        await listings.put_on_sale(Article("MUG", "A mug", 100, "GBP"))
    (await staff.post("/inventory/MUG/receipts", {"quantity": 9}, wait=20)).ok()
    cart = {"lines": [{"sku": "MUG", "quantity": 3}], "address": _ADDRESS, "method_id": van}
    checkout = (await ann.post("/checkouts", cart, wait=20)).ok(201)
    path = f"/checkouts/{checkout['id']}"
    assert [each["code"] for each in checkout["requirements"]] == ["delivery_pending", "taxes_pending"]
    assert [each["name"] for each in checkout["delivery_options"]] == ["Post"]
    assert checkout["delivery_options_pending"]
    await asking.depot.receiver.has(1)
    refused = (await ann.post(f"{path}/complete", {"expected_total_minor": 300})).problem(422, "checkout_incomplete")
    assert [each["code"] for each in refused["requirements"]] == ["delivery_pending", "taxes_pending"]
    assert asking.office.heard == [], "what is taxed is not known yet"

    asking.depot.answer = weighs
    asked = await _until_lacking(ann, path, "taxes_pending")
    assert {each["name"]: each["price_minor"] for each in asked["delivery_options"]} == {"Van": VAN_MINOR, "Post": 40}
    assert not asked["delivery_options_pending"]
    await asking.office.receiver.has(1)
    asking.office.answer = computes
    found = await _until_lacking(ann, path)
    assert (found["quote"]["delivery_minor"], found["quote"]["tax_minor"]) == (VAN_MINOR, 25 + 9)
    assert found["quote"]["total_minor"] == 446
    payment = {"provider": "sandbox", "method": "card"}
    order = (await ann.post(f"{path}/complete", {"expected_total_minor": 446, "payment": payment}, wait=20)).ok(201)
    assert (order["status"], order["total_minor"]) == ("confirmed", 446)

    await eventually_seen("the sale", lambda: _heard(asking, "commit"), within_seconds=_WITHIN_SECONDS)
    refund = {"amount_minor": 446, "reason": "Broken."}
    await staff.post(f"/orders/{order['id']}/refund", refund, wait=20, key="refund")
    await eventually_seen("the refund", lambda: _heard(asking, "refund"), within_seconds=_WITHIN_SECONDS)
    said = {act: said for act, _, said in asking.office.heard}
    assert said["commit"]["sale"]["order_id"] == order["id"]
    assert said["refund"]["sale"]["sold_at"] == said["commit"]["sale"]["sold_at"]
    assert sum(tax["amount_minor"] for tax in said["refund"]["refund"]["taxes"]) == 34
    assert {key for _, key, _ in asking.depot.heard} == {f"{checkout['id']}:1"}, "one question, however often asked"
    code, differences = await asyncio.to_thread(asking.system.verify)
    assert code == 0, differences


async def _until_lacking(ann: Client, path: str, *codes: str) -> dict[str, Any]:
    """The checkout, as soon as it lacks no more than this."""
    found: dict[str, Any] = {}

    async def seen() -> bool:
        found.update((await ann.get(path)).ok())
        return [each["code"] for each in found["requirements"]] == [*codes]

    await eventually_seen(f"a checkout that lacks {codes}", seen, within_seconds=_WITHIN_SECONDS)
    return found


async def _heard(asking: Asking, act: str) -> bool:
    return act in asking.office.acts
