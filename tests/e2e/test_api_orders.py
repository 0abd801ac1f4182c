"""Orders: placed whole or not at all, cancelled once, listed newest first, and waited for as `Prefer` asks."""

import asyncio
import itertools
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_TOTAL_MINOR, PRICE_MAX_MINOR
from tests import pace
from tests.e2e.api import API, WAIT_SECONDS, Client, order_body
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.faults import workers_stopped
from tests.e2e.shop import Shop

WAITS_MAX = int(SHOP_SETTINGS["TIDEGATE_GATEWAY_PROCESSES"]) * int(SHOP_SETTINGS["TIDEGATE_WAIT_MAX_REQUESTS"])


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def test_an_accepted_order_can_be_read(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=10)
    answer = await customer.place({sku: 3}, wait=None)
    accepted = answer.ok(202)

    assert accepted.keys() == {"id", "command_id", "status_url"}
    assert accepted["status_url"] == answer.headers["Location"] == f"{API}/commands/{accepted['command_id']}"
    assert "Preference-Applied" not in answer.headers
    assert (await customer.settled(accepted["command_id"]))["status"] == "applied"
    assert (await customer.get(f"/orders/{accepted['id']}")).ok()["status"] == "placed"
    assert await shop.staff.inventory(sku) == (10, 3, 7)


async def test_a_client_that_waits_gets_the_order(shop: Shop, customer: Client) -> None:
    cheap, dear = (
        await shop.product(9, price_minor=1),
        await shop.product(on_hand=9, price_minor=PRICE_MAX_MINOR),
    )
    answer = await customer.place({cheap: 2, dear: 3})
    order = answer.ok(201)

    assert answer.headers["Preference-Applied"] == f"wait={WAIT_SECONDS}"
    assert answer.headers["Location"] == f"{API}/orders/{order['id']}"
    assert order["customer_id"] == customer.principal
    assert order["status"] == "placed"
    assert order["currency"] == "GBP"
    assert order["total_minor"] == 2 + 3 * PRICE_MAX_MINOR
    assert order["lines"] == [
        {"sku": cheap, "quantity": 2, "unit_price_minor": 1},
        {"sku": dear, "quantity": 3, "unit_price_minor": PRICE_MAX_MINOR},
    ]
    assert order["placed_at"] == order["updated_at"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(order["placed_at"])) < timedelta(minutes=1)
    assert (await customer.get(f"/orders/{order['id']}")).ok() == order


async def test_lines_of_one_sku_are_summed_whatever_its_case(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=10)
    lines = [{"sku": sku, "quantity": 1}, {"sku": sku.lower(), "quantity": 2}, {"sku": sku.title(), "quantity": 3}]
    order = (await customer.post("/orders", {"lines": lines})).ok(201)
    assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [(sku, 6)]
    assert await shop.staff.inventory(sku.lower()) == (10, 6, 4)


async def test_a_sum_may_exceed_the_limit_of_one_line(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=LINE_MAX_QUANTITY * 3)
    line = {"sku": sku, "quantity": LINE_MAX_QUANTITY}
    order = (await customer.post("/orders", {"lines": [line] * 3})).ok(201)
    assert order["lines"][0]["quantity"] == LINE_MAX_QUANTITY * 3


async def test_missing_stock_is_named_and_nothing_is_reserved(shop: Shop, customer: Client) -> None:
    plenty, short, none = await shop.product(on_hand=100), await shop.product(on_hand=3), await shop.product()
    answer = await customer.place({plenty: 50, short: 4, none: 1})
    problem = answer.problem(409, "insufficient_stock")

    assert answer.headers["Preference-Applied"] == f"wait={WAIT_SECONDS}"
    assert problem["lines"] == [
        {"sku": short, "requested": 4, "available": 3},
        {"sku": none, "requested": 1, "available": 0},
    ]
    command = (await customer.get(f"/commands/{problem['command_id']}")).ok()
    assert (command["status"], command["outcome"]["code"]) == ("rejected", "insufficient_stock")
    for sku, on_hand in ((plenty, 100), (short, 3), (none, 0)):
        assert await shop.staff.inventory(sku) == (on_hand, 0, on_hand)
    assert (await customer.get("/orders")).ok()["items"] == []


async def test_the_last_piece_is_sold_and_not_one_more(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=2)
    await customer.placed({sku: 2})
    (await customer.place({sku: 1})).problem(409, "insufficient_stock")
    assert await shop.staff.inventory(sku) == (2, 2, 0)


async def test_an_unknown_sku_is_named(shop: Shop, customer: Client) -> None:
    known = await shop.product(on_hand=1)
    problem = (await customer.place({"NO-SUCH-1": 1, known: 1, "NO-SUCH-2": 1})).problem(422, "unknown_sku")
    assert problem["skus"] == ["NO-SUCH-1", "NO-SUCH-2"]
    assert await shop.staff.inventory(known) == (1, 0, 1)


async def test_an_order_has_one_currency(shop: Shop, customer: Client) -> None:
    pounds, crowns = await shop.product(on_hand=1), await shop.product(on_hand=1, currency="SEK")
    problem = (await customer.place({pounds: 1, crowns: 1})).problem(422, "mixed_currencies")
    assert problem["currencies"] == ["GBP", "SEK"]
    assert (await customer.placed({crowns: 1}))["currency"] == "SEK"


async def test_a_total_beyond_its_limit_is_refused(shop: Shop, customer: Client) -> None:
    sku, other = await shop.product(100_000, price_minor=PRICE_MAX_MINOR), await shop.product(1, price_minor=1)
    fits = ORDER_MAX_TOTAL_MINOR // PRICE_MAX_MINOR
    problem = (await customer.place({sku: fits, other: 1})).problem(422, "order_total_exceeded")
    assert problem["total_minor"] == str(ORDER_MAX_TOTAL_MINOR + 1)
    assert await shop.staff.inventory(sku) == (100_000, 0, 100_000)


async def test_a_rejected_order_does_not_exist(shop: Shop, customer: Client) -> None:
    accepted = (await customer.place({await shop.product(): 1}, wait=None)).ok(202)
    command = await customer.settled(accepted["command_id"])
    assert command["status"] == "rejected"
    (await customer.get(f"/orders/{accepted['id']}")).problem(404, "order_not_found")


async def test_cancelling_releases_what_was_reserved(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=5)
    order = await customer.placed({sku: 4})
    answer = await customer.cancel(order["id"])
    cancelled = answer.ok()

    assert answer.headers["Preference-Applied"] == f"wait={WAIT_SECONDS}"
    assert cancelled == {**order, "status": "cancelled", "updated_at": cancelled["updated_at"]}
    assert cancelled["updated_at"] > order["updated_at"]
    assert (await customer.get(f"/orders/{order['id']}")).ok() == cancelled
    assert await shop.staff.inventory(sku) == (5, 0, 5)


async def test_cancelling_without_waiting_is_accepted(shop: Shop, customer: Client) -> None:
    order = await customer.placed({await shop.product(on_hand=1): 1})
    accepted = (await customer.cancel(order["id"], wait=None)).ok(202)
    assert accepted["id"] == order["id"]
    assert (await customer.settled(accepted["command_id"]))["status"] == "applied"
    assert (await customer.get(f"/orders/{order['id']}")).ok()["status"] == "cancelled"


async def test_an_order_is_cancelled_once(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=1)
    order = await customer.placed({sku: 1})
    (await customer.cancel(order["id"])).ok()
    problem = (await customer.cancel(order["id"])).problem(409, "order_state_conflict")
    assert (problem["order_id"], problem["order_status"]) == (order["id"], "cancelled")
    assert await shop.staff.inventory(sku) == (1, 0, 1)


@pytest.mark.parametrize("order_id", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid4()])
async def test_an_unknown_order_is_not_found(customer: Client, order_id: uuid.UUID) -> None:
    (await customer.get(f"/orders/{order_id}")).problem(404, "order_not_found")
    assert (await customer.cancel(str(order_id))).problem(404, "order_not_found")["order_id"] == str(order_id)


@pytest.mark.parametrize("order_id", ["1", "abc", "%00", "-", "0" * 31, "g" * 32, "null", "🌊"])
async def test_an_id_must_be_a_uuid(customer: Client, order_id: str) -> None:
    assert (await customer.get(f"/orders/{order_id}")).pointers() == {"/path/order_id"}
    assert (await customer.cancel(order_id)).pointers() == {"/path/order_id"}


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=5", "wait=5"),
        ("respond-async, wait=5", "wait=5"),
        ("wait=5, respond-async", "wait=5"),
        ("Wait = 5", "wait=5"),
        ('wait="5"', "wait=5"),
        ("wait=5; foo=bar", "wait=5"),
        ("wait=5, wait=9", "wait=5"),
        ("wait=999999", "wait=30"),
    ],
)
async def test_forms_of_waiting(shop: Shop, customer: Client, prefer: str, applied: str) -> None:
    sku = await shop.product(on_hand=1)
    answer = await customer.post("/orders", order_body({sku: 1}), wait=None, headers={"Prefer": prefer})
    answer.ok(201)
    assert answer.headers["Preference-Applied"] == applied


@pytest.mark.parametrize(
    "prefer",
    [
        "",
        "wait",
        "wait=",
        "wait=0",
        "wait=-1",
        "wait=1.5",
        "wait=soon",
        "wait=5s",
        "wait=" + "9" * 50,
        "await=5",
        "return=minimal; wait=5",
        "respond-async",
        ",,;;==",
    ],
)
async def test_requests_that_ask_for_no_wait_get_none(shop: Shop, customer: Client, prefer: str) -> None:
    sku = await shop.product(on_hand=1)
    answer = await customer.post("/orders", order_body({sku: 1}), wait=None, headers={"Prefer": prefer})
    answer.ok(202)
    assert "Preference-Applied" not in answer.headers


async def test_the_preference_may_be_in_a_second_header(shop: Shop, customer: Client) -> None:
    body = b'{"lines":[{"sku":"%s","quantity":1}]}' % (await shop.product(on_hand=1)).encode()
    headers = [("Content-Type", "application/json"), ("Prefer", "respond-async"), ("Prefer", "wait=5")]
    answer = await customer.request("POST", f"{API}/orders", data=body, headers=headers)
    answer.ok(201)
    assert answer.headers["Preference-Applied"] == "wait=5"


async def test_an_order_that_takes_longer_than_the_wait_is_accepted(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=1)
    async with workers_stopped(shop.system):
        begun = time.monotonic()
        answer = await customer.place({sku: 1}, wait=1)
        taken = time.monotonic() - begun
        assert taken > 0.9
        assert pace.is_within(taken, 3)
        accepted = answer.ok(202)
        assert "Preference-Applied" not in answer.headers
        assert (await customer.get(f"/commands/{accepted['command_id']}")).ok()["status"] == "accepted"
        (await customer.get(f"/orders/{accepted['id']}")).problem(404, "order_not_found")
    assert (await customer.settled(accepted["command_id"]))["status"] == "applied"
    assert (await customer.get(f"/orders/{accepted['id']}")).ok()["status"] == "placed"


async def test_the_number_of_waiters_is_limited_and_others_are_accepted_at_once(shop: Shop) -> None:
    sku = await shop.product(on_hand=200)
    customer = shop.customer()
    asked, beyond = WAITS_MAX + 10, 10
    async with workers_stopped(shop.system):
        requests = [asyncio.create_task(customer.place({sku: 1})) for _ in range(asked)]
        answered = [await first for first in itertools.islice(asyncio.as_completed(requests), beyond)]
    answers = await asyncio.gather(*requests)
    assert all(answer.status == 202 for answer in answered)
    assert {answer.status for answer in answers} == {201, 202}
    assert sum(answer.status == 201 for answer in answers) <= WAITS_MAX
    for answer in answers:
        if answer.status == 202:
            assert (await customer.settled(answer.json()["command_id"]))["status"] == "applied"


async def test_an_order_is_found_by_the_number_that_its_buyer_reads_out(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=9)
    order = (await customer.place({sku: 1})).ok(201)
    number = order["number"]
    assert number.startswith("T-")
    assert (await customer.get(f"/orders/{order['id']}")).ok()["number"] == number
    placed = (await customer.get(f"/orders/{order['id']}/history")).ok()["items"][0]
    assert placed["data"]["number"] == number
    for typed in (number, f" t {number.removeprefix('T-').lstrip('0')} "):
        assert (await shop.staff.get("/orders", number=typed)).ok()["items"] == [order]
        assert (await shop.customer().get("/orders", number=typed)).ok()["items"] == []
    assert (await shop.staff.get("/orders", number="T-999999999")).ok()["items"] == []
    for typed in ("999", "INV-000001", "T-0"):
        (await shop.staff.get("/orders", number=typed)).problem(422, "invalid_request")
