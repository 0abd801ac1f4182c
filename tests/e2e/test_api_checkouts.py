"""A cart over HTTP: opened by anybody, filled in any order, shown with its price, and completed once."""

import asyncio
from uuid import uuid4

import pytest

from tests.e2e.api import API, Client
from tests.e2e.people import Person, sign_in
from tests.e2e.shop import Shop
from tests.system import eventually_seen

_ADDRESS = {"name": "Ada Lovelace", "line1": "1 Harbour Street", "city": "London", "country": "gb"}


@pytest.fixture(autouse=True)
async def _without_terms(shop: Shop) -> None:
    """Without terms that other tests may have stated: the total is the sum of the prices."""
    await shop.take_terms_back()


async def _opened(client: Client, **fields: object) -> str:
    return str((await client.post("/checkouts", fields)).ok(201)["id"])


async def test_a_cart_is_filled_in_any_order_and_becomes_an_order(shop: Shop) -> None:
    sku = await shop.product(10, price_minor=1250)
    ann = shop.customer()
    opened = await ann.post("/checkouts", {"note": "Ring twice."})
    checkout = opened.ok(201)
    assert opened.headers["Location"] == f"{API}/checkouts/{checkout['id']}"
    assert [lacking["code"] for lacking in checkout["requirements"]] == ["lines_required"]
    assert (checkout["quote"]["currency"], checkout["quote"]["total_minor"]) == (None, 0)
    path = f"/checkouts/{checkout['id']}"
    await ann.patch(path, {"address": _ADDRESS, "email": "Ada@Example.com"})
    changed = (await ann.patch(path, {"lines": [{"sku": sku, "quantity": 1}] * 2, "note": None})).ok()
    assert (changed["address"]["country"], changed["email"], changed["note"]) == ("GB", "ada@example.com", None)
    assert changed["lines"] == [{"sku": sku, "quantity": 2}]
    assert changed["requirements"] == []
    assert changed["quote"]["total_minor"] == 2500
    assert (await ann.get(path)).ok() == changed

    done = await ann.post(f"{path}/complete", {"expected_total_minor": 2500})
    order = done.ok(201)
    assert done.headers["Location"] == f"{API}/orders/{order['id']}"
    assert (order["status"], order["total_minor"], order["quote"]["total_minor"]) == ("placed", 2500, 2500)
    assert {**(await ann.get(f"/orders/{order['id']}")).ok(), "payment": None} == order
    again = (await ann.post(f"{path}/complete", {"expected_total_minor": 2500})).ok(200)
    assert again == order
    finished = (await ann.get(path)).ok()
    assert (finished["status"], finished["order_id"], finished["quote"]) == ("completed", order["id"], order["quote"])
    (await ann.patch(path, {"lines": []})).problem(409, "checkout_not_open")
    (await ann.delete(path)).problem(409, "checkout_not_open")


async def test_the_deliveries_to_choose_from_are_those_for_its_address_and_lines(shop: Shop) -> None:
    admin, ann = shop.client("admin", "shop-admin"), shop.customer()
    sku = await shop.product(10, price_minor=3000)
    post, abroad = (str(uuid4()) for _ in range(2))
    rate = {"currency": "GBP", "price_minor": 395, "free_from_minor": 5000}
    (await admin.put(f"/terms/methods/{post}", {"name": "Post", "areas": [{"country": "GB"}], "rates": [rate]})).ok()
    (await admin.put(f"/terms/methods/{abroad}", {"name": "Far", "areas": [{"country": "FR"}], "rates": [rate]})).ok()
    opened = (await ann.post("/checkouts", {"lines": [{"sku": sku, "quantity": 1}]})).ok(201)
    path = f"/checkouts/{opened['id']}"
    assert opened["delivery_options"] == []
    option = {"method_id": post, "name": "Post", "kind": "ship", "price_minor": 395}
    assert (await ann.patch(path, {"address": _ADDRESS})).ok()["delivery_options"] == [option]
    two = (await ann.patch(path, {"lines": [{"sku": sku, "quantity": 2}], "method_id": post})).ok()
    assert two["delivery_options"] == [{**option, "price_minor": 0}]
    order = (await ann.post(f"{path}/complete", {"expected_total_minor": two["quote"]["total_minor"]})).ok(201)
    assert order["quote"]["delivery"]["method_id"] == post
    assert (await ann.get(path)).ok()["delivery_options"] == []


async def test_completing_refuses_with_what_the_checkout_itself_says(shop: Shop) -> None:
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann)}"
    said = (await ann.get(path)).ok()["requirements"]
    refused = (await ann.post(f"{path}/complete", {"expected_total_minor": 0})).problem(422, "checkout_incomplete")
    assert refused["requirements"] == said
    sku = await shop.product(1, price_minor=100)
    await ann.patch(path, {"lines": [{"sku": sku, "quantity": 2}]})
    refused = (await ann.post(f"{path}/complete", {"expected_total_minor": 150})).problem(409, "checkout_changed")
    assert refused["current_total_minor"] == 200
    (await ann.post(f"{path}/complete", {"expected_total_minor": 200})).problem(409, "insufficient_stock")


async def test_one_order_comes_of_two_tabs(shop: Shop) -> None:
    sku = await shop.product(50, price_minor=100)
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann, lines=[{'sku': sku, 'quantity': 1}])}/complete"
    answers = await asyncio.gather(*(ann.post(path, {"expected_total_minor": 100}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_completing_says_what_the_buyer_has_to_do_next_and_one_order_and_payment_come_of_two_tabs(
    shop: Shop,
) -> None:
    sku = await shop.product(50, price_minor=100)
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann, lines=[{'sku': sku, 'quantity': 1}])}/complete"
    body = {"expected_total_minor": 100, "payment": {"provider": "sandbox", "return_url": "https://shop.example/"}}
    tabs = await asyncio.gather(*(ann.post(path, body, wait=20) for _ in range(3)))
    assert sorted(answer.status for answer in tabs) == [200, 200, 201]
    assert len({(answer.json()["id"], answer.json()["payment"]["id"]) for answer in tabs}) == 1
    (said,) = [answer.json() for answer in tabs if answer.status == 201]
    assert said["payment"]["status"] == "action_required"
    assert said["payment"]["action_url"].startswith("http")
    payments = (await ann.get(f"/orders/{said['id']}/payments")).ok()["items"]
    assert [payment["id"] for payment in payments] == [said["payment"]["id"]]


async def test_a_card_is_charged_while_completing_waits_and_the_order_is_confirmed(shop: Shop) -> None:
    sku = await shop.product(50, price_minor=100)
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann, lines=[{'sku': sku, 'quantity': 1}])}/complete"
    body = {"expected_total_minor": 100, "payment": {"provider": "sandbox", "method": "card"}}
    order = (await ann.post(path, body, key="once", wait=20)).ok(201)
    assert (order["status"], order["payment"]["status"], order["payment"]["charged_minor"]) == (
        "confirmed",
        "charged",
        100,
    )
    again = (await ann.post(path, body, key="once", wait=20)).ok(201)
    assert (again["id"], again["payment"]["id"]) == (order["id"], order["payment"]["id"])


async def test_an_unknown_provider_places_no_order(shop: Shop) -> None:
    sku = await shop.product(50, price_minor=100)
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann, lines=[{'sku': sku, 'quantity': 1}])}"
    body = {"expected_total_minor": 100, "payment": {"provider": "paypol"}}
    (await ann.post(f"{path}/complete", body)).problem(422, "unknown_provider")
    assert (await ann.get(path)).ok()["status"] == "open"


async def test_a_guest_has_a_token_for_it_and_must_say_where_mail_goes(shop: Shop) -> None:
    sku = await shop.product(5, price_minor=100)
    opened = (await shop.anybody.post("/checkouts", {"lines": [{"sku": sku, "quantity": 1}]})).ok(201)
    guest = shop.with_token(opened["guest_token"], opened["customer_id"])
    path = f"/checkouts/{opened['id']}"
    assert [lacking["code"] for lacking in (await guest.get(path)).ok()["requirements"]] == ["email_required"]
    await guest.patch(path, {"email": "guest@example.com"})
    order = (await guest.post(f"{path}/complete", {"expected_total_minor": 100})).ok(201)
    assert (await guest.get(f"/orders/{order['id']}")).ok()["email"] == "guest@example.com"


async def test_a_guest_who_signs_in_keeps_the_cart_and_what_was_in_their_own(shop: Shop) -> None:
    mug, cup = await shop.product(50, price_minor=100), await shop.product(50, price_minor=200)
    ann = shop.customer()
    own = await _opened(ann, lines=[{"sku": mug, "quantity": 1}])
    lines = [{"sku": mug, "quantity": 2}, {"sku": cup, "quantity": 1}]
    opened = (await shop.anybody.post("/checkouts", {"lines": lines})).ok(201)
    path, token = f"/checkouts/{opened['id']}", {"guest_token": opened["guest_token"]}
    (await ann.post(f"{path}/take-over", {"guest_token": "no token"})).problem(404, "checkout_not_found")
    taken = (await ann.post(f"{path}/take-over", token)).ok()
    assert (taken["customer_id"], taken["requirements"], taken["quote"]["total_minor"]) == (ann.principal, [], 500)
    assert {line["sku"]: line["quantity"] for line in taken["lines"]} == {mug: 3, cup: 1}
    again = (await ann.post(f"{path}/take-over", token)).ok()
    assert again == taken
    guest = shop.with_token(opened["guest_token"], opened["customer_id"])
    (await guest.get(path)).problem(404, "checkout_not_found")
    (await shop.customer().post(f"{path}/take-over", token)).problem(404, "checkout_not_found")

    async def closed() -> bool:
        return bool((await ann.get(f"/checkouts/{own}")).ok()["status"] == "cancelled")

    await eventually_seen("a checkout of their own that is closed", closed, within_seconds=20)
    (await ann.post(f"{path}/complete", {"expected_total_minor": 500})).ok(201)


async def test_strangers_with_one_key_open_two_checkouts(shop: Shop) -> None:
    """Who says nothing that others could not say as well cannot be recognized by it."""
    both = [(await shop.anybody.post("/checkouts", {}, key="1")).ok(201) for _ in range(2)]
    assert both[0]["id"] != both[1]["id"]
    assert both[0]["customer_id"] != both[1]["customer_id"]


async def test_other_people_s_checkouts_are_not_found(shop: Shop) -> None:
    path = f"/checkouts/{await _opened(shop.customer())}"
    bob = shop.customer()
    for answer in (
        await bob.get(path),
        await bob.patch(path, {}),
        await bob.delete(path),
        await bob.post(f"{path}/complete", {"expected_total_minor": 0}),
    ):
        answer.problem(404, "checkout_not_found")
    (await bob.get(f"/checkouts/{uuid4()}")).problem(404, "checkout_not_found")
    assert (await shop.staff.get(path)).ok()["status"] == "open"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"address": {**_ADDRESS, "country": "Britain"}}, "/address/country"),
        ({"address": {"name": "Ada"}}, "/address/line1"),
        ({"email": "nobody"}, "/email"),
        ({"lines": [{"sku": "MUG", "quantity": 0}]}, "/lines/0/quantity"),
        ({"currency": "GBX"}, "/currency"),
        ({"codes": ["x" * 61]}, "/codes/0"),
        ({"total_minor": 1}, "/total_minor"),
    ],
)
async def test_what_does_not_fit_is_told_where(shop: Shop, body: object, pointer: str) -> None:
    assert pointer in (await shop.customer().post("/checkouts", body)).pointers()


async def test_a_cancelled_checkout_forgets_its_owner(shop: Shop) -> None:
    ann = shop.customer()
    path = f"/checkouts/{await _opened(ann, email='ann@example.com', address=_ADDRESS)}"
    for _ in range(2):
        cancelled = (await ann.delete(path)).ok()
        assert (cancelled["status"], cancelled["email"], cancelled["address"]) == ("cancelled", None, None)


async def test_what_takes_the_place_of_a_promotion_that_is_used_up_may_be_used_up_as_well(shop: Shop) -> None:
    """Each customer is shown the best promotion that is left, and pays what was shown."""
    admin, sku = shop.client("admin", "shop-admin"), await shop.product(9, price_minor=1000)
    for number, (percent_bp, uses) in enumerate(((5000, 1), (4000, 1), (1000, None))):
        promotion = {
            "name": f"Promotion {number}",
            "action": {"kind": "percent", "percent_bp": percent_bp},
            "priority": -number,
            "uses_limit": uses,
        }
        (await admin.put(f"/terms/promotions/{uuid4()}", promotion)).ok()
    for total_minor in (500, 600, 900, 900):
        buyer = shop.customer()
        path = f"/checkouts/{await _opened(buyer, lines=[{'sku': sku, 'quantity': 1}])}"
        assert (await buyer.get(path)).ok()["quote"]["total_minor"] == total_minor
        (await buyer.post(f"{path}/complete", {"expected_total_minor": total_minor})).ok(201)
    await shop.take_terms_back()


async def test_a_buyer_is_identified_by_the_account_s_mailbox_and_not_by_the_checkout_s(shop: Shop) -> None:
    """Two accounts of one mailbox are one buyer, even if they enter different addresses at the checkout."""
    admin, sku = shop.client("admin", "shop-admin"), await shop.product(9, price_minor=100)
    limit = {"most": 1, "items": {"skus": [sku]}}
    (await admin.put(f"/terms/purchase-limits/{uuid4()}", limit)).ok()
    buyers = []
    for number in (1, 2):
        person = {"email": f"hamster+{number}@example.com", "name": "Ham", "password": "enough in any case"}
        account = (await admin.post("/users", {**person, "role": "customer"})).ok(201)
        buyers.append((await sign_in(shop, Person(account["id"], person["email"], person["password"]))).client)
    first, second = buyers
    lines = [{"sku": sku, "quantity": 1}]
    paths = {
        email: f"/checkouts/{await _opened(second, lines=lines, email=email)}"
        for email in (None, "elsewhere@example.com", "hamster@example.com")
    }
    for path in paths.values():
        assert (await second.get(path)).ok()["requirements"] == []
    first_path = f"/checkouts/{await _opened(first, lines=lines)}"
    (await first.post(f"{first_path}/complete", {"expected_total_minor": 100})).ok(201)
    for path in paths.values():
        refused = await second.post(f"{path}/complete", {"expected_total_minor": 100})
        said = refused.problem(422, "checkout_incomplete")["requirements"]
        assert [lacking["code"] for lacking in said] == ["purchase_limit"]
    # What is typed counts as well: it is somebody's mailbox.
    other = shop.customer()
    path = f"/checkouts/{await _opened(other, lines=lines, email='hamster+3@example.com')}"
    assert [lacking["code"] for lacking in (await other.get(path)).ok()["requirements"]] == ["purchase_limit"]
    await shop.take_terms_back()
