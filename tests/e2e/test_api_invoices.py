"""The invoice of a paid order: for those who may see the order, as JSON or for print, and the same for ever."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop
from tests.e2e.test_api_payments import becomes, pay
from tests.system import eventually_seen

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def drawn_up(client: Client, path: str) -> Answer:
    """What is there, once it is there."""
    found: list[Answer] = []

    async def there() -> bool:
        found.append(await client.get(path))
        return found[-1].status == 200 and found[-1].json().get("items") != []

    await eventually_seen(f"what is at {path}", there, within_seconds=20)
    return found[-1]


async def page(client: Client, path: str) -> Answer:
    return await client.request("GET", API + path, headers={"Accept": BROWSER})


async def test_a_paid_order_has_an_invoice_and_its_refund_a_credit_note(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=9)
    order = (await customer.place({sku: 2})).ok(201)
    path = f"/orders/{order['id']}"
    (await customer.get(f"{path}/invoice")).problem(404, "invoice_not_found")
    payment_id = (await pay(customer, order["id"], method="card"))["id"]
    invoice = (await drawn_up(customer, f"{path}/invoice")).ok()
    assert invoice["number"].startswith("INV-")
    assert (invoice["kind"], invoice["order_number"], invoice["total_minor"]) == (
        "invoice",
        order["number"],
        order["total_minor"],
    )
    assert [(line["sku"], line["quantity"]) for line in invoice["lines"]] == [(sku, 2)]

    await becomes(customer, payment_id, "charged")
    (await shop.staff.post(f"/payments/{payment_id}/refund", {"amount_minor": 100, "reason": "Broken"})).ok()
    (note,) = (await drawn_up(customer, f"{path}/credit-notes")).ok()["items"]
    assert note["number"].startswith("CN-")
    assert (note["corrects"], note["total_minor"]) == (invoice["number"], 100)
    assert (await customer.get(f"{path}/credit-notes/{note['number']}")).ok() == note
    assert (await shop.staff.get(f"{path}/invoice")).ok() == invoice

    for client in (shop.customer(), shop.anybody):
        assert (await client.get(f"{path}/invoice")).status in (401, 404)
        assert (await client.get(f"{path}/credit-notes/{note['number']}")).status in (401, 404)
    (await customer.get(f"{path}/credit-notes/CN-99999999")).problem(404, "invoice_not_found")
    (await customer.get(f"{path}/credit-notes/INV-1")).problem(422, "invalid_request")
    (await customer.get(f"/orders/{uuid.uuid4()}/invoice")).problem(404, "invoice_not_found")


async def test_a_browser_gets_a_page_that_loads_and_runs_nothing(shop: Shop, customer: Client) -> None:
    name = '<script>alert("1")</script> & Co'
    sku = await shop.product(on_hand=9)
    admin = shop.client("admin", "printing-admin")
    (await admin.patch(f"/products/{await shop.product_id(sku)}", {"name": name})).ok()
    order_id = (await customer.place({sku: 1})).ok(201)["id"]
    await pay(customer, order_id, method="card")
    invoice = (await drawn_up(customer, f"/orders/{order_id}/invoice")).ok()
    answer = await page(customer, f"/orders/{order_id}/invoice")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    html = answer.body.decode()
    assert invoice["number"] in html
    assert "&lt;script&gt;" in html
    for word in ("<script", "src=", "href=", "url(", "@import", "http:", "https:"):
        assert word not in html
    assert (await page(customer, f"/orders/{uuid.uuid4()}/invoice")).problem(404, "invoice_not_found")
