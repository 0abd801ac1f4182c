"""The invoice of a paid order: for those who may see the order, as JSON or for print, and the same for ever."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.api import API, Answer, Client
from tests.e2e.people import registered, sign_in
from tests.e2e.shop import Shop
from tests.e2e.test_api_payments import becomes, pay
from tests.system import eventually_seen

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def drawn_up(client: Client, path: str) -> Answer:
    """The documents, as soon as they are drawn up."""
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


async def test_a_person_is_given_their_invoices_and_when_they_are_erased_all_stays_but_the_buyer(shop: Shop) -> None:
    await shop.take_terms_back()
    email = "invoiced.person@example.com"
    person = await registered(shop, {"email": email, "name": "Ingrid Invoiced", "password": "a password of hers"})
    ingrid = (await sign_in(shop, person)).client
    address = {"name": "Ingrid Invoiced", "line1": "7 Paper Street", "city": "London", "country": "GB"}
    lines = [{"sku": await shop.product(on_hand=9), "quantity": 2}]
    opened = (await ingrid.post("/checkouts", {"lines": lines, "address": address})).ok(201)
    payment = {"provider": "sandbox", "method": "card"}
    body = {"expected_total_minor": 500, "payment": payment}
    order = (await ingrid.post(f"/checkouts/{opened['id']}/complete", body, wait=20)).ok(201)
    path = f"/orders/{order['id']}"
    invoice = (await drawn_up(ingrid, f"{path}/invoice")).ok()
    assert invoice["buyer"]["line1"] == "7 Paper Street"
    refund = {"amount_minor": 100, "reason": "Broken"}
    (await shop.staff.post(f"/payments/{order['payment']['id']}/refund", refund)).ok()
    (note,) = (await drawn_up(ingrid, f"{path}/credit-notes")).ok()["items"]

    (known,) = (await ingrid.get("/me/export")).ok()["orders"]
    assert [(each["kind"], each["number"], each["total_minor"]) for each in known["invoices"]] == [
        ("invoice", invoice["number"], 500),
        ("credit_note", note["number"], 100),
    ]
    for given, shown in zip(known["invoices"], (invoice, note), strict=True):
        assert given["currency"] == shown["currency"]
        assert given["seller"]["name"] == shown["seller"]["name"]
        assert [(each["kind"], each["amount_minor"]) for each in given["sums"]] == [
            (each["kind"], each["amount_minor"]) for each in shown["sums"]
        ]
        assert [each["sku"] for each in given["lines"]] == [each["sku"] for each in shown["lines"]]

    assert (await ingrid.request("DELETE", f"{API}/me")).status == 204
    assert (await shop.staff.get(f"{path}/invoice")).ok() == {**invoice, "buyer": None}
    assert (await shop.staff.get(f"{path}/credit-notes")).ok()["items"] == [{**note, "buyer": None}]
    (html,) = [(await page(shop.staff, f"{path}/invoice")).body.decode()]
    assert invoice["number"] in html
    assert "Paper Street" not in html
    kept = "SELECT count(*) FROM events WHERE subject LIKE $1 AND (data::text ~ 'Paper Street|Ingrid')"
    assert await shop.database.fetchval(kept, f"{order['id']}%") == 0


async def test_a_guest_is_given_the_invoices_of_their_own_orders(shop: Shop) -> None:
    body = {"lines": [{"sku": await shop.product(on_hand=9), "quantity": 1}], "email": "invoiced.guest@example.com"}
    placed = (await shop.anybody.post("/orders", body)).ok(201)
    other = (await shop.anybody.post("/orders", body)).ok(201)
    guest = shop.with_token(placed["guest_token"])
    await pay(guest, placed["id"], method="card")
    await pay(shop.with_token(other["guest_token"]), other["id"], method="card")
    invoice = (await drawn_up(guest, f"/orders/{placed['id']}/invoice")).ok()
    (known,) = (await guest.get("/me/export")).ok()["orders"]
    assert [each["number"] for each in known["invoices"]] == [invoice["number"]]
