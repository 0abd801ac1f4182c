"""Payments over the API: a buyer pays at once or on the sandbox's page, staff give back, and both ledgers agree."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from runtime.payments.sandbox_wire import WEBHOOK_TYPE, Movement, Notice
from runtime.settings.payments import SANDBOX_SECRET
from runtime.standard_webhooks import signed
from tests.e2e.api import Client
from tests.e2e.readings import read
from tests.e2e.shop import Shop
from tests.system import eventually_seen

WEBHOOKS: Final = "tidegate_payment_webhooks_total"
FOREIGN: Final = "tidegate_payment_reports_foreign_total"


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def placed(shop: Shop, customer: Client) -> str:
    order_id: str = (await customer.place({await shop.product(on_hand=9): 2})).ok(201)["id"]
    return order_id


async def becomes(client: Client, payment_id: str, status: str) -> dict[str, Any]:
    """The payment, once it has this status."""
    seen: dict[str, Any] = {}

    async def there() -> bool:
        seen.update((await client.get(f"/payments/{payment_id}")).ok())
        return bool(seen["status"] == status)

    await eventually_seen(f"a payment that is {status}", there, within_seconds=20)
    return seen


async def pay(customer: Client, order_id: str, **said: str) -> dict[str, Any]:
    paid: dict[str, Any] = (await customer.post(f"/orders/{order_id}/payments", {"provider": "sandbox", **said})).ok(
        201
    )
    return paid


async def test_a_buyer_pays_and_the_order_is_confirmed(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    payment = await pay(customer, order_id, method="card")
    paid = await becomes(customer, payment["id"], "charged")
    assert (paid["charged_minor"], paid["refundable_minor"], paid["amount_minor"]) == (500, 500, 500)
    assert (await customer.get(f"/orders/{order_id}")).ok()["status"] == "confirmed"
    (await customer.post(f"/orders/{order_id}/payments", {"provider": "sandbox"})).problem(409, "order_paid")


async def test_after_a_decline_another_card_pays(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    declined = await becomes(customer, (await pay(customer, order_id, method="card+decline"))["id"], "failed")
    assert declined["entries"][-1]["code"] == "card_declined"
    await becomes(customer, (await pay(customer, order_id, method="card"))["id"], "charged")
    both = (await customer.get(f"/orders/{order_id}/payments")).ok()["items"]
    assert [payment["status"] for payment in both] == ["failed", "charged"]


async def test_a_buyer_pays_on_the_page_and_the_webhook_tells(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    payment = await pay(customer, order_id, return_url="https://shop.example/thanks")
    waits = await becomes(customer, payment["id"], "action_required")
    async with (
        aiohttp.ClientSession() as http,
        http.post(waits["action_url"], data={"choice": "pay"}, allow_redirects=False) as response,
    ):
        assert response.headers["Location"] == "https://shop.example/thanks"
    await becomes(customer, payment["id"], "charged")
    assert (await customer.get(f"/orders/{order_id}")).ok()["status"] == "confirmed"


async def test_webhooks_that_the_provider_did_not_sign_are_refused(shop: Shop) -> None:
    before = await read(shop)
    for path, status, code in (("sandbox", 401, "webhook_invalid"), ("invoice", 401, "webhook_invalid")):
        url = f"{shop.system.url}/hooks/payments/{path}"
        async with aiohttp.ClientSession() as http, http.post(url, json={"type": "payment.moved"}) as response:
            assert (response.status, (await response.json())["code"]) == (status, code)
    said, at = "not what it says it sends", datetime.now(UTC)
    headers = {**signed("msg_1", said, [SANDBOX_SECRET], at), "Content-Type": "application/json"}
    url = f"{shop.system.url}/hooks/payments/sandbox"
    async with aiohttp.ClientSession() as http, http.post(url, data=said, headers=headers) as response:
        assert response.status == 401
    after = await read(shop)
    for provider, result, times in (
        ("sandbox", "signature", 1),
        ("invoice", "signature", 1),
        ("sandbox", "unreadable", 1),
    ):
        labels = {"provider": provider, "result": result}
        assert after(WEBHOOKS, **labels) - before(WEBHOOKS, **labels) == times, labels
    url = f"{shop.system.url}/hooks/payments/paypol"
    async with aiohttp.ClientSession() as http, http.post(url, json={}) as response:
        assert response.status == 404


async def test_what_a_provider_says_of_payments_of_others_is_taken_and_left_alone(shop: Shop) -> None:
    """Refused, it would be sent again for days."""
    before = (await read(shop))(FOREIGN)
    movement = Movement("mv_1", "", "charge", "succeeded", 500, datetime.now(UTC))
    ours, theirs = str(uuid.uuid4()), "order 7 of another shop"
    for reference in (ours, theirs):
        text = msgspec.json.encode(Notice(WEBHOOK_TYPE, f"sp_{ours}", reference, "GBP", movement)).decode()
        headers = {**signed("msg_1", text, [SANDBOX_SECRET], datetime.now(UTC)), "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{shop.system.url}/hooks/payments/sandbox", data=text, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
    assert (await read(shop))(FOREIGN) == before + 2


async def test_staff_give_back_once_however_often_they_ask(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    payment_id = (await pay(customer, order_id, method="card"))["id"]
    await becomes(customer, payment_id, "charged")
    refund = {"amount_minor": 200, "reason": "Broken"}
    (await customer.post(f"/payments/{payment_id}/refund", refund)).problem(403, "forbidden")
    for _ in range(2):
        (await shop.staff.post(f"/payments/{payment_id}/refund", refund, key="refund-1")).ok()
    again = await becomes(customer, payment_id, "charged")
    assert again["refunded_minor"] + again["refund_pending_minor"] == 200
    more = {"amount_minor": 301, "reason": "Broken"}
    problem = (await shop.staff.post(f"/payments/{payment_id}/refund", more)).problem(409, "refund_exceeds_charged")
    assert problem["refundable_minor"] == 300
    listed = (await shop.staff.get("/payments", status="charged")).ok()["items"]
    assert payment_id in [payment["id"] for payment in listed]


async def test_other_people_s_payments_are_not_found(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    payment_id = (await pay(customer, order_id, method="card"))["id"]
    await becomes(customer, payment_id, "charged")
    other = shop.customer()
    (await other.get(f"/payments/{payment_id}")).problem(404, "payment_not_found")
    (await other.get(f"/orders/{order_id}/payments")).problem(404, "order_not_found")
    (await other.post(f"/orders/{order_id}/payments", {"provider": "sandbox"})).problem(404, "order_not_found")
    (await customer.post(f"/orders/{order_id}/payments", {"provider": "paypol"})).problem(422, "unknown_provider")
    (await shop.staff.post(f"/payments/{uuid.uuid4()}/void")).problem(404, "payment_not_found")


async def test_both_ledgers_agree_until_money_is_moved_behind_our_back(shop: Shop, customer: Client) -> None:
    order_id = await placed(shop, customer)
    payment = await becomes(customer, (await pay(customer, order_id, method="card"))["id"], "charged")
    agreed = shop.system.tidegate("payments", "reconcile", "sandbox")
    assert agreed.returncode == 0, agreed.stdout
    sandbox = f"http://127.0.0.1:{shop.system.sandbox_port}"
    headers = {"Authorization": f"Bearer {SANDBOX_SECRET}", "Idempotency-Key": "behind our back"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.put(f"{sandbox}/control", json={"shares": {"webhook_lost": 1.0}}) as response:
            assert response.status == 200
        refund = f"{sandbox}/v1/payments/{payment['provider_reference']}/refund"
        async with http.post(refund, json={"amount_minor": 100}) as response:
            assert response.status == 200
        async with http.put(f"{sandbox}/control", json={}) as response:
            assert response.status == 200
    differ = shop.system.tidegate("payments", "reconcile", "sandbox")
    assert differ.returncode == 1
    assert f"✗ {payment['id']}: refunded GBP 1.00 at the provider, GBP 0.00 here" in differ.stdout
