"""Admins state taxes, deliveries and promotions; from the next request on, every checkout is quoted by them."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from tests.e2e.another import gateway
from tests.e2e.api import Client
from tests.e2e.shop import Shop

_ADDRESS = {"name": "Ada", "line1": "1 Harbour Street", "city": "London", "postal_code": "SW1A 1AA", "country": "GB"}
_SOME_METHOD = f"methods/{UUID(int=1)}"
_SOME_PROMOTION = f"promotions/{UUID(int=1)}"
_TAXES: dict[str, Any] = {
    "home": "GB",
    "rates": [{"name": "VAT", "area": {"country": "GB"}, "tax_class": "standard", "rate_bp": 2000}],
    "policy": {"included": True},
}
_POST = {"name": "Post", "areas": [{"country": "GB"}], "rates": [{"currency": "GBP", "price_minor": 395}]}


@pytest.fixture
async def admin(shop: Shop) -> AsyncIterator[Client]:
    """An admin of a shop without terms, whose own are taken back in the end: other tests share the shop."""
    await shop.take_terms_back()
    yield shop.client("admin", "shop-admin")
    await shop.take_terms_back()


async def _checkout(shop: Shop, client: Client, price_minor: int = 1000, **fields: Any) -> dict[str, Any]:
    sku = await shop.product(10, price_minor=price_minor)
    body = {"lines": [{"sku": sku, "quantity": 2}], "address": _ADDRESS, **fields}
    checkout: dict[str, Any] = (await client.post("/checkouts", body)).ok(201)
    return checkout


async def test_an_order_with_delivery_tax_and_promotion_explains_every_penny(shop: Shop, admin: Client) -> None:
    method_id, promotion_id = str(uuid4()), str(uuid4())
    version = (await admin.put("/terms/taxes", _TAXES)).ok()["version"]  # others have stated taxes in this shop before
    assert (await admin.put("/terms/taxes", _TAXES)).ok()["version"] == version + 1
    (await admin.put(f"/terms/methods/{method_id}", _POST)).ok()
    spring = {"name": "Spring", "action": {"kind": "percent", "percent_bp": 1000}}
    assert (await admin.put(f"/terms/promotions/{promotion_id}", spring)).ok()["promotion"]["version"] == 1

    ann = shop.customer()
    checkout = await _checkout(shop, ann)
    assert [lacking["code"] for lacking in checkout["requirements"]] == ["delivery_required"]
    path = f"/checkouts/{checkout['id']}"
    quote = (await ann.patch(path, {"method_id": method_id})).ok()["quote"]
    assert (quote["subtotal_minor"], quote["discount_minor"], quote["delivery_minor"]) == (2000, 200, 395)
    assert (quote["total_minor"], quote["tax_minor"], quote["added_tax_minor"]) == (2195, 366, 0)
    assert quote["lines"][0]["discounts"][0]["promotion_id"] == promotion_id
    order = (await ann.post(f"{path}/complete", {"expected_total_minor": 2195})).ok(201)
    assert order["quote"] == quote

    (await admin.put(f"/terms/promotions/{promotion_id}", {**spring, "active": False})).ok()
    assert (await ann.get(f"/orders/{order['id']}")).ok()["quote"] == quote, "what was ordered is a fact"


async def test_what_is_digital_needs_no_delivery_and_its_class_has_its_own_tax(shop: Shop, admin: Client) -> None:
    books = {"name": "VAT", "area": {"country": "GB"}, "tax_class": "books", "rate_bp": 0, "reason": "zero"}
    (await admin.put("/terms/taxes", {**_TAXES, "rates": [*_TAXES["rates"], books]})).ok()
    (await admin.put(f"/terms/methods/{uuid4()}", _POST)).ok()
    sku = await shop.product(10, price_minor=900)
    variant = {"kind": "digital", "tax_class": "books"}
    product = (await admin.patch(f"/products/{await shop.product_id(sku)}/variants/{sku}", variant)).ok()
    assert [(each["kind"], each["tax_class"]) for each in product["variants"]] == [("digital", "books")]
    body = {"lines": [{"sku": sku, "quantity": 1}], "address": _ADDRESS}
    checkout = (await shop.customer().post("/checkouts", body)).ok(201)
    assert checkout["requirements"] == []
    assert [(tax["reason"], tax["amount_minor"]) for tax in checkout["quote"]["taxes"]] == [("zero", 0)]


async def test_a_code_is_typed_in_any_case_and_used_as_often_as_it_may(shop: Shop, admin: Client) -> None:
    path = f"/terms/promotions/{uuid4()}"
    welcome = {"name": "Welcome", "action": {"kind": "percent", "percent_bp": 1000}, "coded": True}
    (await admin.post(f"{path}/codes", {"codes": ["WELCOME"]})).problem(404, "promotion_not_found")
    (await admin.put(path, welcome)).ok()
    text = f"welcome-{uuid4().hex[:8]}"
    made = (await admin.post(f"{path}/codes", {"codes": [text], "count": 2, "prefix": "X-", "uses_limit": 1})).ok(201)
    assert len({*made["items"]}) == 3
    assert all(re.fullmatch(r"X-[0-9A-F]{20}", one) for one in made["items"][1:]), "80 bits: nobody finds one by trying"
    totals = []
    for _ in range(2):
        ann = shop.customer()
        checkout = await _checkout(shop, ann, codes=[f" {text.title()} "])
        totals.append(checkout["quote"]["total_minor"])
        said = {remark["code"] for remark in checkout["quote"]["remarks"]}
        complete = f"/checkouts/{checkout['id']}/complete"
        order = (await ann.post(complete, {"expected_total_minor": totals[-1]})).ok(201)
    assert (totals, said) == ([1800, 2000], {"used_up"})
    assert order["quote"]["discount_minor"] == 0
    other = made["items"][1]
    assert (await admin.delete(f"/terms/codes/{other.lower()}")).status == 204
    refused = await _checkout(shop, shop.customer(), codes=[other, "NO SUCH CODE"])
    assert [(remark["field"], remark["code"]) for remark in refused["quote"]["remarks"]] == [
        ("/codes/0", "code_unknown"),
        ("/codes/1", "code_unknown"),
    ]
    (await admin.delete("/terms/codes/NONE")).problem(404, "code_not_found")


async def test_the_deliveries_to_choose_from_cost_what_completing_with_them_charges_when_promotions_are_used_up(
    shop: Shop, admin: Client
) -> None:
    """By use, by code, by budget and by buyer; what comes in the place of one may be used up as well. Nothing is chosen
    yet while they are shown, so no quote takes any of it."""
    method_id, coded = str(uuid4()), f"/terms/promotions/{uuid4()}"
    (await admin.put(f"/terms/methods/{method_id}", _POST)).ok()
    free, half = ({"kind": "percent", "target": "delivery", "percent_bp": off} for off in (10_000, 5_000))
    limits: tuple[dict[str, Any], ...] = ({"uses_limit": 1}, {"budget_minor": {"GBP": 500}}, {"uses_per_customer": 1})
    for priority, limit in enumerate(limits):
        promotion = {"name": "Free", "action": free, "priority": priority, "combines": False, **limit}
        (await admin.put(f"/terms/promotions/{uuid4()}", promotion)).ok()
    (await admin.put(coded, {"name": "Half", "action": half, "coded": True, "combines": False})).ok()
    code = f"POST-{uuid4().hex[:8]}"
    (await admin.post(f"{coded}/codes", {"codes": [code], "uses_limit": 1})).ok(201)

    ann, shown = shop.customer(), []
    for client in (ann, ann, ann, ann, ann, shop.customer(), shop.customer()):
        path = f"/checkouts/{(await _checkout(shop, client, codes=[code]))['id']}"
        ((one,),) = [(await client.get(path)).ok()["delivery_options"]]
        quote = (await client.patch(path, {"method_id": method_id})).ok()["quote"]
        assert quote["total_minor"] == 2000 + one["price_minor"]
        (await client.post(f"{path}/complete", {"expected_total_minor": quote["total_minor"]})).ok(201)
        shown.append(one["price_minor"])
    assert shown == [0, 0, 0, 197, 395, 0, 0]


async def test_random_codes_fit_whatever_their_prefix(shop: Shop, admin: Client) -> None:
    path, longest = f"/terms/promotions/{uuid4()}", "X" * 20
    (await admin.put(path, {"name": "Tenth", "action": {"kind": "percent", "percent_bp": 1000}, "coded": True})).ok()
    (made,) = (await admin.post(f"{path}/codes", {"count": 1, "prefix": longest})).ok(201)["items"]
    checkout = await _checkout(shop, shop.customer(), codes=[made.lower()])
    assert (made[:20], checkout["quote"]["discount_minor"]) == (longest, 200)


@pytest.fixture
async def strict(shop: Shop) -> AsyncIterator[str]:
    """Another gateway of the shop, which lets an address try three invalid codes; the count is reset in the
    end, as all tests come from one address."""
    with gateway(shop.system, TIDEGATE_PROMOTION_CODES_MAX_PER_ADDRESS="3") as url:
        yield url
    async with Redis.from_url(shop.system.valkey.url) as redis:
        counts = [key async for key in redis.scan_iter("bucket:promotion-codes:*")]
        assert counts, "what was tried was counted"
        await redis.delete(*counts)


async def test_wrong_codes_are_rate_limited_and_right_ones_are_not(shop: Shop, admin: Client, strict: str) -> None:
    path = f"/terms/promotions/{uuid4()}"
    (await admin.put(path, {"name": "Tenth", "action": {"kind": "percent", "percent_bp": 1000}, "coded": True})).ok()
    known, gone = (await admin.post(f"{path}/codes", {"count": 2})).ok(201)["items"]
    assert (await admin.delete(f"/terms/codes/{gone}")).status == 204
    checkout = await _checkout(shop, ann := shop.customer())
    cart = f"/checkouts/{checkout['id']}"
    there = Client(shop.http, strict, shop.system.token("customer", ann.principal))
    for _ in range(10):
        assert (await there.patch(cart, {"codes": [known]})).ok()["quote"]["discount_minor"] == 200
        (await there.patch(cart, {"codes": []})).ok()
    for tried in (["NONE"], [known, "NONE"], [gone]):
        (await there.patch(cart, {"codes": tried})).ok()
    refused = await there.patch(cart, {"codes": ["NONE"]})
    refused.problem(429, "too_many_attempts")
    assert int(refused.headers["Retry-After"]) > 0
    assert '"promotion-codes";r=0;t=' in refused.headers["RateLimit"]
    (await there.post("/checkouts", {"codes": ["NONE"]})).problem(429, "too_many_attempts")
    # Or else who is refused would know that the code is wrong.
    (await there.patch(cart, {"codes": [known]})).problem(429, "too_many_attempts")
    (await there.patch(cart, {"note": "No code."})).ok()


async def test_staff_are_told_what_promotions_do_for_a_basket_and_what_is_missing(shop: Shop, admin: Client) -> None:
    spring, more, later = (str(uuid4()) for _ in range(3))
    tenth = {"kind": "percent", "percent_bp": 1000}
    enough = [{"kind": "subtotal", "at_least_minor": {"GBP": 2000}}]
    (await admin.put(f"/terms/promotions/{spring}", {"name": "Spring", "action": tenth, "combines": True})).ok()
    (await admin.put(f"/terms/promotions/{more}", {"name": "More", "action": tenth, "rules": enough})).ok()
    (await admin.put(f"/terms/promotions/{later}", {"name": "Later", "action": tenth, "active": False})).ok()
    sku = await shop.product(10, price_minor=1000)
    basket = {"lines": [{"sku": sku, "quantity": 1}], "address": _ADDRESS, "codes": ["NONE"]}
    told = (await shop.staff.post("/promotions/preview", basket)).ok()
    assert [(each["promotion_id"], each["amount_minor"]) for each in told["applied"]] == [(spring, 100)]
    missing = {each["promotion_id"]: (each["code"], each["message"], each["amount_minor"]) for each in told["missing"]}
    assert missing.pop(None)[0] == "code_unknown"
    assert missing[more] == ("subtotal_too_low", "GBP 10.00 more.", 1000)
    assert set(missing) == {more, later}
    assert told["quote"]["total_minor"] == 900
    (await shop.customer().post("/promotions/preview", basket)).problem(403, "forbidden")

    card = (await shop.staff.post("/gift-cards", {"amount_minor": 100, "currency": "GBP"})).ok(201)["code"]
    paid = (await shop.staff.post("/promotions/preview", {**basket, "gift_cards": [card]})).ok()["quote"]
    assert (paid["total_minor"], paid["due_minor"]) == (
        told["quote"]["total_minor"],
        told["quote"]["total_minor"] - 100,
    )


async def test_what_changes_between_the_quote_and_the_order_is_told(shop: Shop, admin: Client) -> None:
    ann = shop.customer()
    checkout = await _checkout(shop, ann)
    path = f"/checkouts/{checkout['id']}/complete"
    untaxed = checkout["quote"]["total_minor"]
    (await admin.put("/terms/taxes", {**_TAXES, "policy": {"included": False}})).ok()
    refused = (await ann.post(path, {"expected_total_minor": untaxed})).problem(409, "checkout_changed")
    assert refused["current_total_minor"] == untaxed * 12 // 10
    await admin.delete("/terms/taxes")
    (await ann.post(path, {"expected_total_minor": untaxed})).ok(201)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("taxes", {"home": "GB", "rates": [{"name": "VAT"}]}, "/rates/0/area"),
        ("taxes", {"home": "GB", "rate": []}, "/rate"),
        (
            _SOME_METHOD,
            {**_POST, "rates": [{"currency": "GBP", "price_minor": "3.95"}]},
            "/rates/0/price_minor",
        ),
        (_SOME_METHOD, {**_POST, "rates": [{"currency": "GBP", "price_minor": -1}]}, "/rates/0/price_minor"),
        (_SOME_METHOD, {**_POST, "id": str(uuid4())}, "/id"),
        (_SOME_PROMOTION, {"name": "x", "action": {"kind": "magic"}}, "/action/kind"),
        (_SOME_METHOD, {**_POST, "groups": [f"g{n}" for n in range(1_001)]}, "/groups"),
    ],
)
async def test_what_does_not_fit_is_told_where(admin: Client, path: str, body: object, pointer: str) -> None:
    assert pointer in (await admin.put(f"/terms/{path}", body)).pointers()


async def test_what_was_never_stated_cannot_be_taken_back(admin: Client) -> None:
    (await admin.delete(f"/terms/methods/{uuid4()}")).problem(404, "terms_not_found")
    (await admin.delete(f"/terms/wishes/{uuid4()}")).problem(404, "terms_not_found")


async def test_the_quick_way_costs_what_the_terms_say_and_shows_why(shop: Shop, admin: Client) -> None:
    promotion_id, limit_id = uuid4(), uuid4()
    (await admin.put("/terms/taxes", _TAXES)).ok()
    (await admin.put(f"/terms/methods/{uuid4()}", _POST)).ok()
    spring = {"name": "Spring", "action": {"kind": "percent", "percent_bp": 1000}}
    (await admin.put(f"/terms/promotions/{promotion_id}", spring)).ok()
    sku = await shop.product(20, price_minor=1000)
    (await admin.put(f"/terms/purchase-limits/{limit_id}", {"most": 5, "items": {"skus": [sku]}})).ok()

    ann = shop.customer()
    answer = await ann.place({sku: 2}, key="quick")
    order = answer.ok(201)
    quote = order["quote"]
    assert (order["total_minor"], order["charges_minor"]) == (1800, -200)
    assert (quote["total_minor"], quote["tax_minor"], quote["delivery"]) == (1800, 300, None)
    assert quote["lines"][0]["discounts"][0]["promotion_id"] == str(promotion_id)
    assert (await ann.get(f"/orders/{order['id']}")).ok() == order
    assert (await ann.place({sku: 2}, key="quick")).ok(201) == order
    assert (await ann.get(f"/checkouts/{order['id']}")).ok()["status"] == "completed"

    refused = (await ann.place({sku: 4})).problem(422, "checkout_incomplete")
    assert [(lack["code"], lack["quantity"]) for lack in refused["requirements"]] == [("purchase_limit", 3)]
    (await ann.cancel(order["id"])).ok()
    (await ann.place({sku: 4})).ok(201)

    guest = {"lines": [{"sku": sku, "quantity": 5}], "email": "quick@example.com"}
    placed = (await shop.anybody.post("/orders", guest, wait=10)).ok(201)
    assert (placed["total_minor"], placed["email"], bool(placed["guest_token"])) == (4500, guest["email"], True)
    again = {**guest, "email": "quick+2@example.com"}
    (await shop.anybody.post("/orders", again, wait=10)).problem(422, "checkout_incomplete")
