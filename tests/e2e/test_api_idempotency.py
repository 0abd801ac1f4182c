"""Idempotency-Key: a request that is sent again takes effect once, and is answered as it was the first time."""

import asyncio
import uuid

import pytest
from redis.asyncio import Redis

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS
from tests.e2e.api import WAIT_SECONDS, Answer, Client, order_body
from tests.e2e.faults import workers_stopped
from tests.e2e.shop import Shop

REPLAYED = "Idempotency-Replayed"
AT_ONCE = 50


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def forget(shop: Shop, key: str) -> None:
    """Makes Redis forget an idempotency key, as it does when the key expires."""
    async with Redis.from_url(shop.system.valkey.url) as redis:
        forgotten = 0
        async for claims in redis.scan_iter("mailbox:*:claims*"):
            async for field, _ in redis.hscan_iter(claims, match=f"*:{key}"):
                forgotten += await redis.hdel(claims, field)
        assert forgotten == 1


def replayed(answers: list[Answer]) -> int:
    return sum(answer.headers.get(REPLAYED) == "true" for answer in answers)


async def test_the_same_request_fifty_times_at_once_is_one_order(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=AT_ONCE)
    answers = await asyncio.gather(*(customer.place({sku: 1}, wait=None, key=key) for _ in range(AT_ONCE)))

    accepted = answers[0].ok(202)
    assert all(answer.ok(202) == accepted for answer in answers)
    assert replayed(answers) == AT_ONCE - 1
    assert (await customer.settled(accepted["command_id"]))["status"] == "applied"
    assert [order["id"] for order in (await customer.get("/orders")).ok()["items"]] == [accepted["id"]]
    assert await shop.staff.inventory(sku) == (AT_ONCE, 1, AT_ONCE - 1)


async def test_the_same_request_fifty_times_at_once_and_all_wait(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=AT_ONCE)
    answers = await asyncio.gather(*(customer.place({sku: 1}, key=key) for _ in range(AT_ONCE)))

    order = answers[0].ok(201)
    assert all(answer.ok(201) == order for answer in answers)
    assert all(answer.headers["Preference-Applied"] == f"wait={WAIT_SECONDS}" for answer in answers)
    assert replayed(answers) == AT_ONCE - 1
    assert (await customer.get("/orders")).ok()["items"] == [order]
    assert await shop.staff.inventory(sku) == (AT_ONCE, 1, AT_ONCE - 1)


async def test_a_repetition_after_the_outcome_gets_the_same_answer(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    first = await customer.place({sku: 1}, key=key)
    again = await customer.place({sku: 1}, key=key)
    assert again.ok(201) == first.ok(201)
    assert again.headers["Location"] == first.headers["Location"]
    assert replayed([first]) == 0
    assert replayed([again]) == 1


async def test_a_repetition_may_wait_although_the_first_request_did_not(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    async with workers_stopped(shop.system):
        accepted = (await customer.place({sku: 1}, wait=None, key=key)).ok(202)
        in_vain = await customer.place({sku: 1}, wait=1, key=key)
        assert in_vain.ok(202) == accepted
        waiting = asyncio.create_task(customer.place({sku: 1}, key=key))
    answer = await waiting
    assert answer.ok(201)["id"] == accepted["id"]
    assert answer.headers["Preference-Applied"] == f"wait={WAIT_SECONDS}"
    assert replayed([in_vain, answer]) == 2


async def test_a_rejected_request_stays_rejected(shop: Shop, customer: Client, key: str) -> None:
    """Even if it could be fulfilled by now: the same key means the same answer."""
    sku = await shop.product(on_hand=1)
    first = await customer.place({sku: 2}, key=key)
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 10})).ok()
    again = await customer.place({sku: 2}, key=key)
    assert again.problem(409, "insufficient_stock") == first.problem(409, "insufficient_stock")
    assert replayed([first, again]) == 1
    assert await shop.staff.inventory(sku) == (11, 0, 11)


async def test_the_same_key_with_another_body_is_refused(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    (await customer.place({sku: 1}, key=key)).ok(201)
    (await customer.place({sku: 2}, key=key)).problem(422, "idempotency_key_reused")
    (await customer.place({sku: 2}, key=key, wait=None)).problem(422, "idempotency_key_reused")
    assert await shop.staff.inventory(sku) == (5, 1, 4)


async def test_the_same_key_with_fifty_bodies_at_once_is_one_order(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=2_000)
    quantities = range(1, AT_ONCE + 1)
    answers = await asyncio.gather(*(customer.place({sku: quantity}, key=key) for quantity in quantities))
    placed = [answer for answer in answers if answer.status == 201]
    assert len(placed) == 1
    for answer in answers:
        if answer is not placed[0]:
            answer.problem(422, "idempotency_key_reused")
    assert (await shop.staff.inventory(sku))[1] == placed[0].ok(201)["lines"][0]["quantity"]


async def test_the_same_key_for_another_operation_is_refused(shop: Shop, customer: Client, key: str) -> None:
    """Even if that belongs to another mailbox, where Redis does not know the key: Postgres does."""
    sku = await shop.product(on_hand=1_000)
    order = (await customer.place({sku: 1}, key=key)).ok(201)
    mailboxes = {shop.mailbox_of_order(order["id"]): order["id"]}
    while len(mailboxes) < 3:
        order = await customer.placed({sku: 1})
        mailboxes.setdefault(shop.mailbox_of_order(order["id"]), order["id"])
    stock = await shop.staff.inventory(sku)

    here, there, elsewhere = mailboxes.values()
    (await customer.post(f"/orders/{here}/cancel", key=key)).problem(422, "idempotency_key_reused")
    (await customer.post(f"/orders/{there}/cancel", key=key)).problem(422, "idempotency_key_reused")
    accepted = (await customer.post(f"/orders/{elsewhere}/cancel", key=key, wait=None)).ok(202)
    command = await customer.settled(accepted["command_id"])
    assert (command["status"], command["outcome"]["code"]) == ("rejected", "idempotency_key_reused")
    assert await shop.staff.inventory(sku) == stock


async def test_the_same_key_in_many_mailboxes_at_once_counts_once(shop: Shop, key: str) -> None:
    skus = [await shop.product() for _ in range(12)]
    answers = await asyncio.gather(
        *(shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1}, key=key) for sku in skus)
    )
    received = [answer for answer in answers if answer.status == 200]
    assert len(received) == 1
    for answer in answers:
        if answer is not received[0]:
            answer.problem(422, "idempotency_key_reused")
    assert sum([(await shop.staff.inventory(sku))[0] for sku in skus]) == 1


async def test_another_principal_s_key_is_another_key(shop: Shop, key: str) -> None:
    sku = await shop.product(on_hand=5)
    answers = [await shop.customer().place({sku: 1}, key=key) for _ in range(3)]
    assert len({answer.ok(201)["id"] for answer in answers}) == 3
    assert replayed(answers) == 0


async def test_another_key_is_another_order(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    answers = [await customer.place({sku: 1}, key=other) for other in (key, key.upper(), f"{key}:", f":{key}")]
    assert len({answer.ok(201)["id"] for answer in answers}) == 4


async def test_the_quoted_form_is_the_same_key(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    first = await customer.place({sku: 1}, key=f'"{key}"')
    again = await customer.place({sku: 1}, key=key)
    assert again.ok(201) == first.ok(201)
    assert replayed([again]) == 1


@pytest.mark.parametrize(
    "bad", ["", '""', " ", "a b", "a\tb", "schlüssel", '" "', "x" * (IDEMPOTENCY_KEY_MAX_CHARS + 1)]
)
async def test_an_invalid_key_is_refused(shop: Shop, customer: Client, bad: str) -> None:
    sku = await shop.product(on_hand=1)
    (await customer.place({sku: 1}, key=bad)).problem(400, "invalid_idempotency_key")
    (await customer.post(f"/orders/{uuid.uuid4()}/cancel", key=bad)).problem(400, "invalid_idempotency_key")
    assert await shop.staff.inventory(sku) == (1, 0, 1)


@pytest.mark.parametrize("good", ["x", '"', "x" * IDEMPOTENCY_KEY_MAX_CHARS, "a:b{c}*?[d]", "~!@#$%^&()"])
async def test_a_key_may_be_any_visible_ascii(shop: Shop, customer: Client, good: str) -> None:
    sku = await shop.product(on_hand=2)
    order = (await customer.place({sku: 1}, key=good)).ok(201)
    assert (await customer.place({sku: 1}, key=good)).ok(201) == order


async def test_postgres_knows_keys_that_redis_forgot(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    first = (await customer.place({sku: 1}, key=key)).ok(201)

    await forget(shop, key)
    waited = await customer.place({sku: 1}, key=key)
    assert waited.ok(201) == first
    assert replayed([waited]) == 1

    # Redis knows the key again, but as the repetition's.
    third = await customer.place({sku: 1}, key=key)
    assert third.ok(201) == first
    assert replayed([third]) == 1
    assert await shop.staff.inventory(sku) == (5, 1, 4)


async def test_a_forgotten_key_is_repeated_without_waiting(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    first = (await customer.place({sku: 1}, wait=None, key=key)).ok(202)
    await customer.settled(first["command_id"])

    await forget(shop, key)
    again = (await customer.place({sku: 1}, wait=None, key=key)).ok(202)
    command = await customer.settled(again["command_id"])
    assert command["status"] == "repeated"
    assert command["outcome"]["first_command_id"] == first["command_id"]
    assert await shop.staff.inventory(sku) == (5, 1, 4)


async def test_a_forgotten_key_is_still_refused_with_another_body(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product(on_hand=5)
    (await customer.place({sku: 1}, key=key)).ok(201)
    await forget(shop, key)
    (await customer.place({sku: 2}, key=key)).problem(422, "idempotency_key_reused")
    assert await shop.staff.inventory(sku) == (5, 1, 4)


async def test_a_forgotten_rejection_stays_rejected(shop: Shop, customer: Client, key: str) -> None:
    sku = await shop.product()
    first = (await customer.place({sku: 1}, key=key)).problem(409, "insufficient_stock")
    await forget(shop, key)
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
    again = await customer.place({sku: 1}, key=key)
    assert again.problem(409, "insufficient_stock") == first
    assert replayed([again]) == 1


async def test_repetitions_that_wait_in_one_batch_are_one_order(shop: Shop, customer: Client, key: str) -> None:
    """Redis forgets the key between them while no worker runs: the batch finds the first among its own commands."""
    sku = await shop.product(on_hand=5)
    async with workers_stopped(shop.system):
        accepted = []
        for _ in range(3):
            accepted.append((await customer.place({sku: 1}, wait=None, key=key)).ok(202))
            await forget(shop, key)
    commands = [await customer.settled(each["command_id"]) for each in accepted]
    assert [command["status"] for command in commands] == ["applied", "repeated", "repeated"]
    assert await shop.staff.inventory(sku) == (5, 1, 4)


@pytest.mark.parametrize(
    ("path", "body", "on_hand"),
    [("receipts", {"quantity": 5}, 15), ("adjustments", {"change": -3, "reason": "broken"}, 7)],
)
async def test_stock_moves_once(shop: Shop, key: str, path: str, body: object, on_hand: int) -> None:
    sku = await shop.product(on_hand=10)
    answers = await asyncio.gather(
        *(shop.staff.post(f"/inventory/{sku}/{path}", body, key=key) for _ in range(AT_ONCE // 5))
    )
    assert {answer.ok()["on_hand"] for answer in answers} == {on_hand}
    assert replayed(answers) == len(answers) - 1


async def test_cancelling_again_with_the_same_key_succeeds_again(shop: Shop, customer: Client, key: str) -> None:
    order = await customer.placed({await shop.product(on_hand=1): 1})
    path = f"/orders/{order['id']}/cancel"
    first = await customer.post(path, key=key)
    again = await customer.post(path, key=key)
    assert again.ok() == first.ok()
    assert replayed([first, again]) == 1
    (await customer.post(path)).problem(409, "order_state_conflict")


async def test_a_refused_request_leaves_its_key_unused(shop: Shop, customer: Client, key: str) -> None:
    """What was never accepted is not remembered: the client may correct its request and keep the key."""
    sku = await shop.product(on_hand=1)
    (await customer.post("/orders", order_body({sku: 0}), key=key)).problem(422, "invalid_request")
    (await customer.place({sku: 1}, key=key)).ok(201)


async def test_a_move_repeated_after_the_next_is_answered_as_the_first_was(
    shop: Shop, customer: Client, key: str
) -> None:
    """Byte for byte, whatever has become of the order since."""
    order = await customer.placed({await shop.product(on_hand=1): 1})
    path = f"/orders/{order['id']}"
    first = await customer.post(f"{path}/confirm", key=key)
    assert first.ok()["status"] == "confirmed"
    (await shop.staff.post(f"{path}/fulfil")).ok()
    again = await customer.post(f"{path}/confirm", key=key)
    assert again.body == first.body
    for header in ("Tidegate-Seq", "Tidegate-Command", "ETag"):
        assert again.headers[header] == first.headers[header]
    assert (await customer.get(path)).ok()["status"] == "fulfilled"


async def test_a_guests_repetition_gets_the_same_token(shop: Shop, key: str) -> None:
    body = order_body({await shop.product(on_hand=2): 1}) | {"email": "guest@example.com"}
    answers = [await shop.anybody.post("/orders", body, key=key) for _ in range(2)]
    waited = [await shop.anybody.post("/orders", body, key=key, wait=None) for _ in range(2)]
    assert answers[0].ok(201)["guest_token"]
    assert answers[0].body == answers[1].body
    assert waited[0].body == waited[1].body
    assert waited[0].ok(202)["guest_token"] == answers[0].ok(201)["guest_token"]


async def test_the_same_json_in_another_order_of_members_is_the_same_request(
    shop: Shop, customer: Client, key: str
) -> None:
    sku = await shop.product(on_hand=5)
    bodies = [
        f'{{"lines":[{{"sku":"{sku}","quantity":1}}]}}',
        f'{{ "lines" : [ {{ "quantity" : 1, "sku" : "{sku}" }} ] }}',
    ]
    headers = {"Content-Type": "application/json", "Prefer": "wait=10", "Idempotency-Key": key}
    answers = [await customer.request("POST", "/api/v1/orders", data=body.encode(), headers=headers) for body in bodies]
    assert answers[0].ok(201) == answers[1].ok(201)
    assert replayed(answers) == 1
    assert await shop.staff.inventory(sku) == (5, 1, 4)


async def test_a_waited_write_says_where_it_stands_in_the_log(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=1)
    placed = await customer.place({sku: 1})
    command = await customer.settled(placed.headers["Tidegate-Command"])
    assert command["seq"] == int(placed.headers["Tidegate-Seq"])
    refused = (await customer.place({sku: 1})).problem(409, "insufficient_stock")
    command = await customer.settled(refused["command_id"])
    assert command["seq"] == refused["seq"]
    assert command["outcome"]["lines"] == refused["lines"], "the same members as in the 409"
