"""A shop whose taxes a service outside computes, as processes of their own: from the cart to the refund, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import pytest

from ops.articles import Article
from tests.e2e.api import Client
from tests.integration.taxing import SECRET, Office, computes
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


class Taxed(NamedTuple):
    """The shop, and the service."""

    system: System
    http: aiohttp.ClientSession
    office: Office

    def client(self, role: str, name: str) -> Client:
        return Client(self.http, self.system.url, self.system.token(role, name), name)


@pytest.fixture
async def taxed() -> AsyncIterator[Taxed]:
    async with Receiver() as receiver:
        office = Office(receiver)
        settings = {
            "TIDEGATE_TAX_PROVIDER": "remote",
            "TIDEGATE_TAX_URL": office.url,
            "TIDEGATE_TAX_SECRET": SECRET,
            "TIDEGATE_TAX_TIMEOUT_SECONDS": "0.5",
            "TIDEGATE_TASK_RETRY_MAX_SECONDS": "0.2",
        }
        with System(settings, sandbox=True) as system:
            async with aiohttp.ClientSession() as http:
                yield Taxed(system, http, office)


async def test_taxes_are_asked_for_charged_committed_and_refunded(taxed: Taxed) -> None:
    admin, staff, ann = (taxed.client(role, role) for role in ("admin", "staff", "customer"))
    (await admin.put("/terms/taxes", {"home": "US"})).ok()
    async with Listings(taxed.system) as listings:
        await listings.put_on_sale(Article("MUG", "A mug", 100, "GBP"))
    (await staff.post("/inventory/MUG/receipts", {"quantity": 9}, wait=20)).ok()
    taxed.office.answer = hangs
    opened = await ann.post("/checkouts", {"lines": [{"sku": "MUG", "quantity": 3}], "address": _ADDRESS}, wait=20)
    checkout = opened.ok(201)
    path = f"/checkouts/{checkout['id']}"
    assert [each["code"] for each in checkout["requirements"]] == ["taxes_pending"]
    await taxed.office.receiver.has(1)
    refused = (await ann.post(f"{path}/complete", {"expected_total_minor": 300})).problem(422, "checkout_incomplete")
    assert [each["code"] for each in refused["requirements"]] == ["taxes_pending"]

    taxed.office.answer = computes
    found: dict[str, Any] = {}

    async def known() -> bool:
        found.update((await ann.get(path)).ok())
        return not found["requirements"]

    await eventually_seen("the taxes", known, within_seconds=_WITHIN_SECONDS)
    assert (found["quote"]["tax_minor"], found["quote"]["total_minor"]) == (25, 325)
    payment = {"provider": "sandbox", "method": "card"}
    order = (await ann.post(f"{path}/complete", {"expected_total_minor": 325, "payment": payment}, wait=20)).ok(201)
    assert order["status"] == "confirmed"

    await eventually_seen("the sale", lambda: _heard(taxed, "commit"), within_seconds=_WITHIN_SECONDS)
    refund = {"amount_minor": 325, "reason": "Broken."}
    await staff.post(f"/orders/{order['id']}/refund", refund, wait=20, key="refund")
    await eventually_seen("the refund", lambda: _heard(taxed, "refund"), within_seconds=_WITHIN_SECONDS)
    said = {act: said for act, _, said in taxed.office.heard}
    assert said["commit"]["sale"]["order_id"] == order["id"]
    assert said["refund"]["sale"]["sold_at"] == said["commit"]["sale"]["sold_at"]
    assert said["refund"]["refund"]["taxes"][0]["amount_minor"] == 25
    code, differences = await asyncio.to_thread(taxed.system.verify)
    assert code == 0, differences


async def _heard(taxed: Taxed, act: str) -> bool:
    return act in taxed.office.acts
