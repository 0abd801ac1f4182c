"""Stock: visible to everyone, received and corrected by staff."""

import asyncio
from typing import Any

import pytest

from domain.limits import MOVEMENT_MAX_QUANTITY, REASON_MAX_CHARS, STOCK_MAX_ON_HAND
from tests.e2e.api import Answer, Client
from tests.e2e.shop import Shop


async def adjust(shop: Shop, sku: str, change: Any, reason: Any = "counted") -> Answer:
    return await shop.staff.post(f"/inventory/{sku}/adjustments", {"change": change, "reason": reason})


async def receive(shop: Shop, sku: str, quantity: Any, **more: Any) -> Answer:
    return await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": quantity, **more})


async def test_a_new_product_has_no_stock(shop: Shop) -> None:
    sku = await shop.product()
    stock = (await shop.staff.get(f"/inventory/{sku}")).ok()
    assert stock == {"sku": sku, "on_hand": 0, "reserved": 0, "available": 0}


async def test_customers_see_whether_there_is_enough_and_no_more(shop: Shop) -> None:
    """Neither from the inventory, nor from an order that asks for too much."""
    few, many = await shop.product(on_hand=3), await shop.product(on_hand=5_000)
    customer = shop.customer()
    await customer.placed({few: 1, many: 1_000})
    assert (await customer.get(f"/inventory/{few}")).ok() == {"sku": few, "available": 2}
    assert (await customer.get(f"/inventory/{many}")).ok() == {"sku": many, "available": 10}
    refused = (await customer.place({few: 50, many: 90_000})).problem(409, "insufficient_stock")
    assert [line["available"] for line in refused["lines"]] == [2, 10]
    assert await shop.staff.inventory(many) == (5_000, 1_000, 4_000)
    (await shop.anybody.get(f"/inventory/{many}")).problem(401, "unauthenticated")


async def test_customers_see_no_stock_of_products_not_on_sale(shop: Shop) -> None:
    sku = await shop.product(on_hand=3)
    product = await shop.product_id(sku)
    admin = shop.client("admin", "inventory-admin")
    headers = {"Content-Type": "application/json", "Prefer": "wait=15"}
    (await admin.request("PATCH", f"/api/v1/products/{product}", data=b'{"status": "draft"}', headers=headers)).ok()
    (await shop.customer().get(f"/inventory/{sku}")).problem(404, "not_found")
    (await shop.customer().get(f"/products/{product}")).problem(404, "product_not_found")
    (await shop.customer().get("/products", status="draft")).problem(403, "forbidden")
    assert await shop.staff.inventory(sku) == (3, 0, 3)


@pytest.mark.parametrize("sku", ["NO-SUCH-SKU", "%20", "%00", "A%0A", "a b", "Ä", "🌊", "x" * 41, "-", "%2F"])
async def test_unknown_skus_have_no_stock(shop: Shop, sku: str) -> None:
    (await shop.customer().get(f"/inventory/{sku}")).problem(404, "not_found")


async def test_goods_are_received(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)
    received = (await receive(shop, sku.lower(), 9, reference="delivery 7")).ok()
    assert received == {"sku": sku, "on_hand": 10, "reserved": 0, "available": 10}
    event = await _last_event(shop, sku)
    assert (event["type"], event["actor"]) == ("stock.received", shop.staff.principal)
    assert event["data"] == {"sku": sku, "quantity": 9, "reference": "delivery 7"}


async def test_goods_received_without_waiting_are_accepted(shop: Shop) -> None:
    sku = await shop.product()
    accepted = (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 9}, wait=None)).ok(202)
    assert accepted["id"] == sku
    assert (await shop.staff.settled(accepted["command_id"]))["subject"] == sku
    assert await shop.staff.inventory(sku) == (9, 0, 9)


async def test_stock_is_corrected_up_and_down(shop: Shop) -> None:
    sku = await shop.product(on_hand=10)
    assert (await adjust(shop, sku, 5)).ok()["on_hand"] == 15
    assert (await adjust(shop, sku, -15, "all broken")).ok()["on_hand"] == 0
    event = await _last_event(shop, sku)
    assert event["type"] == "stock.adjusted"
    assert event["data"] == {"sku": sku, "change": -15, "reason": "all broken"}


async def test_a_correction_cannot_take_what_is_reserved(shop: Shop) -> None:
    sku = await shop.product(on_hand=10)
    customer: Client = shop.customer()
    order = await customer.placed({sku: 7})
    problem = (await adjust(shop, sku, -4)).problem(409, "insufficient_stock")
    assert problem["lines"] == [{"sku": sku, "requested": 4, "available": 3}]
    assert await shop.staff.inventory(sku) == (10, 7, 3)

    assert (await adjust(shop, sku, -3)).ok() == {"sku": sku, "on_hand": 7, "reserved": 7, "available": 0}
    (await customer.cancel(order["id"])).ok()
    assert await shop.staff.inventory(sku) == (7, 0, 7)


async def test_stock_has_an_upper_limit(shop: Shop) -> None:
    sku = await shop.product()
    receipts = STOCK_MAX_ON_HAND // MOVEMENT_MAX_QUANTITY
    body = {"quantity": MOVEMENT_MAX_QUANTITY}
    posts = (shop.staff.post(f"/inventory/{sku}/receipts", body, wait=None) for _ in range(receipts))
    for answer in await asyncio.gather(*posts):
        assert (await shop.staff.settled(answer.ok(202)["command_id"]))["status"] == "applied"
    assert (await receive(shop, sku, 1)).problem(409, "stock_limit_exceeded")["on_hand"] == STOCK_MAX_ON_HAND
    (await adjust(shop, sku, 1)).problem(409, "stock_limit_exceeded")
    assert (await adjust(shop, sku, -1)).ok()["on_hand"] == STOCK_MAX_ON_HAND - 1


@pytest.mark.parametrize("sku", ["NO-SUCH-SKU", "no-such-sku"])
async def test_unknown_skus_cannot_be_received(shop: Shop, sku: str) -> None:
    assert (await receive(shop, sku, 1)).problem(422, "unknown_sku")["skus"] == ["NO-SUCH-SKU"]
    assert (await adjust(shop, sku, 1)).problem(422, "unknown_sku")["skus"] == ["NO-SUCH-SKU"]


@pytest.mark.parametrize("sku", ["%00", "A%0AB", "a b", "🌊", "x" * 41])
async def test_invalid_skus_cannot_be_received(shop: Shop, sku: str) -> None:
    (await receive(shop, sku, 1)).problem(404, "not_found")
    (await adjust(shop, sku, 1)).problem(404, "not_found")


@pytest.mark.parametrize("quantity", [0, -1, MOVEMENT_MAX_QUANTITY + 1, 2**31, 2**70, 1.5, "1", True, None, [1]])
async def test_a_receipt_takes_a_whole_number_within_its_limits(shop: Shop, quantity: Any) -> None:
    assert (await receive(shop, "A", quantity)).pointers() == {"/quantity"}


@pytest.mark.parametrize(
    "change", [0, -MOVEMENT_MAX_QUANTITY - 1, MOVEMENT_MAX_QUANTITY + 1, -(2**70), 1.5, "1", True, None]
)
async def test_a_correction_takes_a_whole_number_within_its_limits(shop: Shop, change: Any) -> None:
    assert (await adjust(shop, "A", change)).pointers() == {"/change"}


@pytest.mark.parametrize("reason", ["", "x" * (REASON_MAX_CHARS + 1), None, 7, ["x"]])
async def test_a_correction_has_a_reason(shop: Shop, reason: Any) -> None:
    assert (await adjust(shop, "A", 1, reason)).pointers() == {"/reason"}


async def test_text_that_postgres_cannot_store_is_refused(shop: Shop) -> None:
    assert (await adjust(shop, "A", 1, "a\0b")).pointers() == {"/reason"}
    assert (await receive(shop, "A", 1, reference="a\0b")).pointers() == {"/reference"}


@pytest.mark.parametrize("body", [{}, {"quantity": 1, "colour": "red"}, {"quantity": 1, "reference": 7}, [], None, 1])
async def test_an_invalid_receipt_is_refused(shop: Shop, body: Any) -> None:
    (await shop.staff.post("/inventory/A/receipts", body or b"null")).pointers()


@pytest.mark.parametrize(
    "text", ["x" * REASON_MAX_CHARS, "ä" * REASON_MAX_CHARS, "🌊", "a\u2028b", '"\\', "'; DROP TABLE stock;--"]
)
async def test_a_reason_is_kept_as_it_was_given(shop: Shop, text: str) -> None:
    sku = await shop.product()
    (await receive(shop, sku, 1, reference=text)).ok()
    assert (await _last_event(shop, sku))["data"]["reference"] == text
    (await adjust(shop, sku, 1, text)).ok()
    assert (await _last_event(shop, sku))["data"]["reason"] == text


async def _last_event(shop: Shop, sku: str) -> dict[str, Any]:
    """The newest event about a SKU, as the API shows it."""
    seq = await shop.database.fetchval("SELECT max(seq) FROM events WHERE subject = $1", sku)
    event: dict[str, Any] = (await shop.staff.get("/events", after=seq - 1, limit=1)).ok()["items"][0]
    return event


async def test_staff_list_the_stock_of_all_skus_by_sku(shop: Shop) -> None:
    made = [await shop.product(on_hand=number) for number in (0, 3, 7)]
    pages = await shop.staff.pages("/inventory", limit=2)
    assert all(len(page) == 2 for page in pages[:-1])
    listed = [one for page in pages for one in page]
    skus = [one["sku"] for one in listed]
    assert skus == sorted(set(skus))
    assert [one for one in listed if one["sku"] in made] == [
        {"sku": sku, "on_hand": number, "reserved": 0, "available": number}
        for sku, number in sorted(zip(made, (0, 3, 7), strict=True))
    ]


async def test_stock_is_filtered_by_what_is_left_and_by_product(shop: Shop) -> None:
    low, sold_out, high = [await shop.product(on_hand=number) for number in (3, 2, 7)]
    await shop.customer().placed({sold_out: 2})

    async def listed(**query: str | int) -> set[str]:
        return {one["sku"] for one in (await shop.staff.get("/inventory", limit=20, **query)).ok()["items"]} & {
            low,
            sold_out,
            high,
        }

    assert await listed(prefix=low.lower()) == {low}
    assert await listed(prefix=f"{low}-NOTHING") == set()
    assert await listed(prefix="_") == set()
    assert await listed(product_id=await shop.product_id(high)) == {high}
    for sku, left in ((low, 3), (sold_out, 0), (high, 7)):
        assert await listed(prefix=sku, available_below=left + 1) == {sku}
        assert await listed(prefix=sku, available_from=left) == {sku}
        assert await listed(prefix=sku, available_from=left + 1) == set()
    assert await listed(prefix=sold_out, available_below=1, available_from=0) == {sold_out}


async def test_the_stock_list_is_for_staff_and_its_pages_are_bounded(shop: Shop) -> None:
    (await shop.customer().get("/inventory")).problem(403, "forbidden")
    for query in (
        {"limit": 0},
        {"available_below": 0},
        {"prefix": ""},
        {"prefix": "%"},
        {"prefix": "\0"},
        {"product_id": "x"},
        {"cursor": "?"},
    ):
        assert (await shop.staff.get("/inventory", **query)).status == 422, query
    assert len((await shop.staff.get("/inventory", limit=10_000)).ok()["items"]) <= 20
