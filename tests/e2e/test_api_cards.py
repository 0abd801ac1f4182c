"""Gift cards and store credit over HTTP: issued and granted by staff, shown to who has the code, and spent at a
checkout."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.e2e.api import Client
from tests.e2e.people import mails
from tests.e2e.shop import Shop
from tests.system import eventually_seen


@pytest.fixture(autouse=True)
async def _without_terms(shop: Shop) -> None:
    await shop.take_terms_back()


async def issued(shop: Shop, amount_minor: int = 5_000, **more: object) -> dict[str, Any]:
    said = {"amount_minor": amount_minor, "currency": "GBP", **more}
    card: dict[str, Any] = (await shop.staff.post("/gift-cards", said)).ok(201)
    return card


async def opened(shop: Shop, client: Client, price_minor: int, **fields: object) -> dict[str, Any]:
    lines = [{"sku": await shop.product(5, price_minor=price_minor), "quantity": 1}]
    checkout: dict[str, Any] = (await client.post("/checkouts", {"lines": lines, **fields})).ok(201)
    return checkout


async def test_a_card_pays_and_what_is_left_stays_on_it(shop: Shop) -> None:
    card, ann = await issued(shop), shop.customer()
    checkout = await opened(shop, ann, 3_000, gift_cards=[card["code"].lower().replace("-", " ")])
    assert checkout["gift_cards"] == [{"card_id": card["id"], "shown": card["code"][-4:]}]
    paid = {"card_id": card["id"], "kind": "gift_card", "shown": card["shown"], "amount_minor": 3_000}
    assert (checkout["quote"]["cards"], checkout["quote"]["due_minor"]) == ([paid], 0)
    path = f"/checkouts/{checkout['id']}/complete"
    changed = (await ann.post(path, {"expected_total_minor": 3_000})).problem(409, "checkout_changed")
    assert (changed["current_total_minor"], changed["current_due_minor"]) == (3_000, 0)
    order = (await ann.post(path, {"expected_total_minor": 3_000, "expected_due_minor": 0})).ok(201)
    assert (order["status"], order["quote"]["cards"]) == ("confirmed", [paid])
    (payment,) = (await ann.get(f"/orders/{order['id']}/payments")).ok()["items"]
    assert (payment["card_id"], payment["provider"], payment["charged_minor"]) == (card["id"], "gift_card", 3_000)
    (await ann.post(f"/orders/{order['id']}/payments", {"provider": "invoice"})).problem(409, "order_paid")

    left = (await shop.anybody.post("/gift-cards/balance", {"code": card["code"]})).ok()
    assert left == {"shown": card["shown"], "currency": "GBP", "available_minor": 2_000, "expires_at": None}
    refunded = await shop.staff.post(f"/payments/{payment['id']}/refund", {"amount_minor": 500, "reason": "Late"})
    assert refunded.ok()["refunded_minor"] == 500
    seen = (await shop.staff.get(f"/gift-cards/{card['id']}")).ok()
    assert (seen["balance_minor"], seen["held_minor"], "code" in seen) == (2_500, 0, False)


@pytest.mark.parametrize("on_the_card_minor", [0, 1_000], ids=["nothing is paid", "a part is paid"])
async def test_who_has_not_paid_a_checkouts_order_does_not_confirm_it_and_staff_do(
    shop: Shop, on_the_card_minor: int
) -> None:
    ann, cards = shop.customer(), []
    if on_the_card_minor:
        cards = [(await issued(shop, on_the_card_minor))["code"]]
    checkout = await opened(shop, ann, 3_000, gift_cards=cards)
    seen = {"expected_total_minor": 3_000, "expected_due_minor": 3_000 - on_the_card_minor}
    order = (await ann.post(f"/checkouts/{checkout['id']}/complete", seen)).ok(201)
    path = f"/orders/{order['id']}"
    refused = (await ann.post(f"{path}/confirm")).problem(409, "order_state_conflict")
    assert (refused["order_id"], refused["order_status"]) == (order["id"], "placed")
    assert (await ann.get(path)).ok()["status"] == "placed"
    assert (await shop.staff.post(f"{path}/confirm")).ok()["status"] == "confirmed"


async def test_a_repeated_request_issues_one_card_and_shows_its_code_again(shop: Shop) -> None:
    said = {"amount_minor": 700, "currency": "GBP"}
    first, second = [(await shop.staff.post("/gift-cards", said, key="one-card")).ok(201) for _ in range(2)]
    assert first == second
    newest = (await shop.staff.get("/gift-cards?limit=1")).ok()["items"]
    assert newest == [{name: value for name, value in first.items() if name != "code"}]


async def test_whatever_is_wrong_with_a_code_is_told_in_the_same_words(shop: Shop) -> None:
    ann = shop.customer()
    disabled, spent = await issued(shop), await issued(shop, 100)
    gone = (await shop.staff.post(f"/gift-cards/{disabled['id']}/disable", {})).ok()
    assert gone["active"] is False
    late = await issued(shop, expires_at=(datetime.now(UTC) - timedelta(days=1)).isoformat())
    checkout = await opened(shop, ann, 100, gift_cards=[spent["code"]])
    said = {"expected_total_minor": 100, "expected_due_minor": 0}
    (await ann.post(f"/checkouts/{checkout['id']}/complete", said)).ok(201)
    path, told = f"/checkouts/{(await opened(shop, ann, 100))['id']}", set()
    for code in (disabled["code"], late["code"], spent["code"], "0" * 20, "no code"):
        for answer in (
            await shop.anybody.post("/gift-cards/balance", {"code": code}),
            await ann.patch(path, {"gift_cards": [code]}),
        ):
            told.add(answer.problem(422, "gift_card_not_usable")["detail"])
    assert len(told) == 1
    (await shop.staff.post(f"/gift-cards/{path[-36:]}/disable", {})).problem(404, "gift_card_not_found")
    (await shop.staff.get(f"/gift-cards/{path[-36:]}")).problem(404, "gift_card_not_found")


async def test_a_cards_code_among_those_of_promotions_is_refused_and_kept_nowhere(shop: Shop) -> None:
    code, ann = (await issued(shop))["code"], shop.customer()
    checkout = await opened(shop, ann, 100)
    path = f"/checkouts/{checkout['id']}"
    for typed in (code, code.lower().replace("-", " "), f"{code[:-1]}{'2' if code[-1] == '1' else '1'}"):
        said = (await ann.patch(path, {"codes": ["WELCOME10", typed]})).problem(422, "invalid_request")
        assert [each["type"] for each in said["errors"]] == ["gift_card_code"]
        assert typed not in json.dumps(said)
        (await ann.post("/checkouts", {"codes": [typed]})).problem(422, "invalid_request")
    assert (await ann.patch(path, {"codes": ["WELCOME10"]})).ok()["codes"] == ["WELCOME10"]


async def test_a_card_that_is_disabled_after_it_was_named_is_remarked_on(shop: Shop) -> None:
    card, ann = await issued(shop), shop.customer()
    checkout = await opened(shop, ann, 300, gift_cards=[card["code"]])
    (await shop.staff.post(f"/gift-cards/{card['id']}/disable", {})).ok()
    quote = (await ann.get(f"/checkouts/{checkout['id']}")).ok()["quote"]
    assert (quote["due_minor"], [said["field"] for said in quote["remarks"]]) == (300, ["/gift_cards/0"])
    path = f"/checkouts/{checkout['id']}"
    said = {"expected_total_minor": 300, "expected_due_minor": 0}
    (await ann.post(f"{path}/complete", said)).problem(409, "checkout_changed")
    assert (await ann.patch(path, {"gift_cards": None})).ok()["gift_cards"] == []


async def test_staff_grant_store_credit_and_its_owner_spends_it(shop: Shop) -> None:
    ann = shop.customer()
    path = f"/store-credit/{ann.principal}"
    grant = {"amount_minor": 400, "currency": "GBP", "reason": "Sorry"}
    granted = (await shop.staff.post(path, grant)).ok()
    credit = {"currency": "GBP", "balance_minor": 400, "held_minor": 0}
    assert granted == {"customer_id": ann.principal, "items": [credit]}
    assert (await ann.get("/store-credit")).ok() == granted == (await shop.staff.get(path)).ok()
    checkout = await opened(shop, ann, 1_000, use_store_credit=True)
    assert (checkout["use_store_credit"], checkout["quote"]["due_minor"]) == (True, 600)
    said = {"expected_total_minor": 1_000, "expected_due_minor": 600}
    order = (await ann.post(f"/checkouts/{checkout['id']}/complete", said)).ok(201)
    assert (await ann.get("/store-credit")).ok()["items"] == [{**credit, "held_minor": 400}]
    (await shop.staff.post(path, {**grant, "amount_minor": -1})).problem(409, "store_credit_too_low")
    (await ann.post(f"/orders/{order['id']}/cancel", {})).ok()
    assert (await ann.get("/store-credit")).ok() == granted
    assert (await shop.staff.post(path, {**grant, "amount_minor": -400})).ok()["items"][0]["balance_minor"] == 0
    assert "/amount_minor" in (await shop.staff.post(path, {**grant, "amount_minor": 0})).pointers()
    assert "/customer_id" in (await shop.staff.post("/store-credit/guest:1", grant)).pointers()
    too_much = {**grant, "amount_minor": 10**15}
    (await shop.staff.post(path, too_much)).ok()
    (await shop.staff.post(path, grant)).problem(409, "store_credit_too_high")


async def bought(shop: Shop, email: str) -> dict[str, Any]:
    """A gift card that a guest with this address has bought."""
    sku = f"CARD-{uuid4().hex[:12]}".upper()
    variant = {"sku": sku, "price_minor": 2_500, "currency": "GBP", "kind": "gift_card"}
    product = {"name": "A gift card", "slug": sku.lower(), "status": "active", "variants": [variant]}
    (await shop.client("admin", "card-admin").post("/products", product)).ok(201)
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 5})).ok()
    order = (await shop.anybody.post("/orders", {"lines": [{"sku": sku, "quantity": 1}], "email": email})).ok(201)
    for step in ("confirm", "fulfil"):
        (await shop.staff.post(f"/orders/{order['id']}/{step}")).ok()
    found: list[dict[str, Any]] = []

    async def is_issued() -> bool:
        cards = (await shop.staff.get("/gift-cards?limit=20")).ok()["items"]
        found[:] = [card for card in cards if card["order_id"] == order["id"]]
        return bool(found)

    await eventually_seen("the card that was bought", is_issued, within_seconds=20)
    return found[0]


async def test_staff_have_a_bought_card_mailed_again_and_are_not_told_its_code(shop: Shop) -> None:
    card = await bought(shop, "lost.mail@example.com")
    path = f"/gift-cards/{card['id']}"
    answers = [await shop.staff.post(f"{path}/mail", key=key) for key in ("once", "once", "twice", "thrice")]
    assert [answer.ok() for answer in answers] == [card] * 4
    _, first, *again = await mails(shop, "lost.mail@example.com", 5)
    assert [mail["Subject"] for mail in again] == [first["Subject"]] * 3
    (await shop.staff.post(f"{path}/mail")).problem(429, "too_many_attempts")
    requested = "SELECT data::text FROM events WHERE type = 'gift_card.mail_requested' AND subject = $1"
    said = [json.loads(row["data"]) for row in await shop.database.fetch(requested, card["id"])]
    assert said == [{"card_id": card["id"], "order_id": card["order_id"]}] * 3

    by_staff = await issued(shop)
    refused = (await shop.staff.post(f"/gift-cards/{by_staff['id']}/mail")).problem(409, "gift_card_not_mailable")
    assert refused["card_id"] == by_staff["id"]
    await shop.database.execute("UPDATE gift_cards SET code_hash = 'of-another-key' WHERE id = $1", UUID(card["id"]))
    other_key = (await shop.staff.post(f"{path}/mail")).problem(409, "gift_card_not_mailable")
    assert "another key" in other_key["detail"]
    (await shop.staff.post(f"/gift-cards/{card['order_id']}/mail")).problem(404, "gift_card_not_found")
    (await shop.customer().post(f"{path}/mail")).problem(403, "forbidden")
