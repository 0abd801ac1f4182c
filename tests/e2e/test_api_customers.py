"""Admins say what a customer buys as; the customer's own checkouts are quoted so, and nobody else's."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.e2e.api import Client
from tests.e2e.shop import Shop

_PARIS = {"name": "Ada", "line1": "1 Rue du Port", "city": "Paris", "postal_code": "75001", "country": "FR"}


@pytest.fixture
async def admin(shop: Shop) -> AsyncIterator[Client]:
    """An admin of a shop without terms, whose own are taken back in the end: other tests share the shop."""
    await shop.take_terms_back()
    yield shop.client("admin", "shop-admin")
    await shop.take_terms_back()


async def _account(admin: Client) -> str:
    user = {"email": f"{uuid4().hex}@example.com", "name": "Ada", "password": "correct horse battery"}
    return str((await admin.post("/users", user)).ok(201)["id"])


async def test_a_business_of_a_group_is_quoted_as_such(shop: Shop, admin: Client) -> None:
    taxes = {
        "home": "DE",
        "union": ["DE", "FR"],
        "rates": [{"name": "TVA", "area": {"country": "FR"}, "tax_class": "standard", "rate_bp": 2000}],
    }
    (await admin.put("/terms/taxes", taxes)).ok()
    tenth = {"kind": "percent", "percent_bp": 1000}
    rules = [{"kind": "group", "groups": ["wholesale"]}, {"kind": "first_order"}]
    (await admin.put(f"/terms/promotions/{uuid4()}", {"name": "Tenth", "action": tenth, "rules": rules})).ok()
    account_id, sku = await _account(admin), await shop.product(10, price_minor=1000)
    (await admin.get(f"/customers/{account_id}")).problem(404, "customer_not_found")
    said = {"groups": ["wholesale", " wholesale"], "tax_id": "de 136.695.976"}
    put = (await admin.put(f"/customers/{account_id}", said)).ok()
    assert (put["groups"], put["tax_id"], put["tax_exempt"]) == (["wholesale"], "DE136695976", False)
    assert (await admin.get(f"/customers/{account_id}")).ok() == put
    totals = {}
    for client in (shop.client("customer", account_id), shop.customer()):
        body = {"lines": [{"sku": sku, "quantity": 1}], "address": _PARIS}
        checkout = (await client.post("/checkouts", body)).ok(201)
        quote = checkout["quote"]
        totals[client] = (quote["total_minor"], quote["taxes"][0]["reason"])
        path = f"/checkouts/{checkout['id']}/complete"
        (await client.post(path, {"expected_total_minor": quote["total_minor"]})).ok(201)
    assert [*totals.values()] == [(900, "reverse_charge"), (1200, "standard")]


async def test_what_does_not_fit_is_told_where(admin: Client) -> None:
    account_id = await _account(admin)
    for said, pointer in (
        ({"groups": ["a b"]}, "/groups/0"),
        ({"groups": ["x"] * 51}, "/groups"),
        ({"tax_id": "1"}, "/tax_id"),
        ({"tax_id": "ÄÖÜ12345"}, "/tax_id"),
    ):
        assert pointer in (await admin.put(f"/customers/{account_id}", said)).pointers()
    (await admin.put(f"/customers/{uuid4()}", {})).problem(404, "account_not_found")
