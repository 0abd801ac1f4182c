"""An order's life: confirmed, fulfilled, cancelled, each from the states that allow it; its history; and guests, whose
token is for their one order only."""

import asyncio
import uuid

import pytest

from tests.e2e.api import Client, order_body
from tests.e2e.shop import STAFF, Shop


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def moved(client: Client, order_id: str, move: str) -> dict[str, object]:
    """The order after a move that must succeed."""
    order: dict[str, object] = (await client.post(f"/orders/{order_id}/{move}")).ok()
    return order


async def placed(customer: Client, sku: str, quantity: int = 3) -> str:
    order_id: str = (await customer.place({sku: quantity})).ok(201)["id"]
    return order_id


async def test_confirming_sells_and_fulfilling_moves_nothing(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=10)
    order_id = await placed(customer, sku)
    assert await shop.staff.inventory(sku) == (10, 3, 7)

    assert (await moved(customer, order_id, "confirm"))["status"] == "confirmed"
    assert await shop.staff.inventory(sku) == (7, 0, 7)

    assert (await moved(shop.staff, order_id, "fulfil"))["status"] == "fulfilled"
    assert await shop.staff.inventory(sku) == (7, 0, 7)


async def test_cancelling_gives_back_what_the_order_held(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=10)
    reserved, sold = await placed(customer, sku, 1), await placed(customer, sku, 2)
    await moved(customer, sold, "confirm")
    assert await shop.staff.inventory(sku) == (8, 1, 7)

    assert (await moved(customer, reserved, "cancel"))["status"] == "cancelled"
    assert await shop.staff.inventory(sku) == (8, 0, 8)
    assert (await moved(customer, sold, "cancel"))["status"] == "cancelled"
    assert await shop.staff.inventory(sku) == (10, 0, 10)


@pytest.mark.parametrize(
    ("moves", "refused"),
    [
        ((), ("fulfil",)),
        (("confirm",), ("confirm",)),
        (("confirm", "fulfil"), ("confirm", "fulfil", "cancel")),
        (("cancel",), ("confirm", "fulfil", "cancel")),
    ],
)
async def test_an_illegal_move_is_409_and_names_the_state(
    shop: Shop, customer: Client, moves: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    sku = await shop.product(on_hand=10)
    order_id = await placed(customer, sku)
    status = "placed"
    for move in moves:
        status = str((await moved(shop.staff, order_id, move))["status"])
    stock = await shop.staff.inventory(sku)

    for move in refused:
        problem = (await shop.staff.post(f"/orders/{order_id}/{move}")).problem(409, "order_state_conflict")
        assert problem["order_status"] == status
    assert await shop.staff.inventory(sku) == stock


async def test_only_one_of_many_confirmations_wins(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=10)
    order_id = await placed(customer, sku, 4)
    answers = await asyncio.gather(*(customer.post(f"/orders/{order_id}/confirm") for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert await shop.staff.inventory(sku) == (6, 0, 6)


@pytest.mark.parametrize("move", ["confirm", "fulfil", "cancel"])
async def test_another_customers_order_cannot_be_moved(shop: Shop, customer: Client, move: str) -> None:
    order_id = await placed(customer, await shop.product(on_hand=3))
    answer = await shop.customer().post(f"/orders/{order_id}/{move}")
    answer.problem(403, "forbidden") if move == "fulfil" else answer.problem(404, "order_not_found")
    (await shop.staff.post(f"/orders/{uuid.uuid4()}/{move}")).problem(404, "order_not_found")


async def test_the_history_says_what_happened_when_and_by_whom(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=9)
    order_id = await placed(customer, sku)
    await moved(customer, order_id, "confirm")
    await moved(shop.staff, order_id, "fulfil")

    order = (await customer.get(f"/orders/{order_id}")).ok()
    items = (await customer.get(f"/orders/{order_id}/history")).ok()["items"]
    assert [(item["type"], item["actor"]) for item in items] == [
        ("order.placed", customer.principal),
        ("order.confirmed", customer.principal),
        ("order.fulfilled", STAFF),
    ]
    assert [items[0]["at"], items[-1]["at"]] == [order["placed_at"], order["updated_at"]]
    assert [item["seq"] for item in items] == sorted(item["seq"] for item in items)
    assert items[0]["data"]["lines"] == order["lines"]
    (await shop.customer().get(f"/orders/{order_id}/history")).problem(404, "order_not_found")


async def test_staff_find_orders_by_status_and_customer(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=9)
    first, second = await placed(customer, sku), await placed(customer, sku)
    await moved(customer, second, "confirm")

    async def found(client: Client, **wanted: str | int) -> list[str]:
        return [order["id"] for order in (await client.get("/orders", **wanted)).ok()["items"]]

    assert await found(shop.staff, customer_id=customer.principal) == [second, first]
    assert await found(shop.staff, customer_id=customer.principal, status="placed") == [first]
    assert await found(customer, status="confirmed") == [second]
    assert await found(shop.customer(), customer_id=customer.principal) == []
    assert (await shop.staff.get("/orders", status="lost")).pointers() == {"/query/status"}


async def test_a_guest_orders_with_an_address_and_follows_it_by_a_token(shop: Shop) -> None:
    sku = await shop.product(on_hand=9)
    body = {**order_body({sku: 2}), "email": "guest@example.com"}
    order = (await shop.anybody.post("/orders", body)).ok(201)
    guest, other = shop.with_token(order["guest_token"]), shop.customer()

    seen = (await guest.get(f"/orders/{order['id']}")).ok()
    assert seen["email"] == "guest@example.com"
    assert "guest_token" not in seen
    assert [each["id"] for each in (await guest.get("/orders")).ok()["items"]] == [order["id"]]
    assert (await moved(guest, order["id"], "confirm"))["status"] == "confirmed"
    assert [item["actor"] for item in (await guest.get(f"/orders/{order['id']}/history")).ok()["items"]] == [
        order["customer_id"]
    ] * 2
    (await other.get(f"/orders/{order['id']}")).problem(404, "order_not_found")
    (await shop.anybody.get(f"/orders/{order['id']}")).problem(401, "unauthenticated")


async def test_a_guest_may_not_wait_and_may_repeat(shop: Shop) -> None:
    sku = await shop.product(on_hand=9)
    body = {**order_body({sku: 2}), "email": "guest@example.com"}
    key = uuid.uuid4().hex
    accepted = (await shop.anybody.post("/orders", body, wait=None, key=key)).ok(202)
    again = (await shop.anybody.post("/orders", body, key=key)).ok(201)
    assert again["id"] == accepted["id"]

    guest = shop.with_token(accepted["guest_token"])
    assert (await guest.get(accepted["status_url"].removeprefix("/api/v1"))).ok()["status"] == "applied"
    assert (await guest.get(f"/orders/{accepted['id']}")).ok()["customer_id"] == again["customer_id"]


async def test_an_order_with_a_guest_token_needs_an_address_and_counts_as_a_guest_s(shop: Shop) -> None:
    """The token is good for more orders, but each needs an address and counts as a guest's."""
    sku = await shop.product(on_hand=9)
    body = {**order_body({sku: 1}), "email": "guest@example.com"}
    first = (await shop.anybody.post("/orders", body)).ok(201)
    guest = shop.with_token(first["guest_token"])
    (await guest.post("/orders", order_body({sku: 1}))).problem(401, "unauthenticated")
    answer = await guest.post("/orders", body)
    second = answer.ok(201)
    assert '"guest-orders";' in answer.headers["RateLimit"]
    assert (second["customer_id"], second["email"]) == (first["customer_id"], "guest@example.com")
    assert second.get("guest_token") is None
    by_customer = await shop.customer().post("/orders", order_body({sku: 1}))
    assert by_customer.ok(201)["email"] is None
    assert '"guest-orders";' not in by_customer.headers.get("RateLimit", "")


async def test_another_guest_with_the_same_key_is_a_different_guest(shop: Shop) -> None:
    sku = await shop.product(on_hand=9)
    key = uuid.uuid4().hex
    first = (await shop.anybody.post("/orders", {**order_body({sku: 1}), "email": "a@example.com"}, key=key)).ok(201)
    other = (await shop.anybody.post("/orders", {**order_body({sku: 1}), "email": "b@example.com"}, key=key)).ok(201)
    assert other["id"] != first["id"]
    (await shop.with_token(other["guest_token"]).get(f"/orders/{first['id']}")).problem(404, "order_not_found")


async def test_two_guests_see_nothing_of_each_other(shop: Shop) -> None:
    sku = await shop.product(on_hand=9)
    body = {**order_body({sku: 1}), "email": "guest@example.com"}
    orders = [(await shop.anybody.post("/orders", body)).ok(201) for _ in range(2)]
    guests = [shop.with_token(order["guest_token"]) for order in orders]
    for guest, theirs in zip(guests, reversed(orders), strict=True):
        (await guest.get(f"/orders/{theirs['id']}")).problem(404, "order_not_found")
        (await guest.post(f"/orders/{theirs['id']}/cancel")).problem(404, "order_not_found")


async def test_an_anonymous_order_without_an_address_is_unauthenticated(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)
    (await shop.anybody.post("/orders", order_body({sku: 1}))).problem(401, "unauthenticated")
    for wrong in ("", "guest", "guest@", "a b@example.com", "guest@example.com\nBcc: all@example.com", "é@example.com"):
        answer = await shop.anybody.post("/orders", {**order_body({sku: 1}), "email": wrong})
        assert answer.pointers() == {"/email"}
