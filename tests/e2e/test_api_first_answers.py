"""A repeated request gets the first answer, byte for byte, even if others have changed the thing since."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias

import pytest
from redis.asyncio import Redis

from domain.limits import DESCRIPTION_MAX_CHARS, PRODUCT_MAX_VARIANTS
from gateway.writing.answers import ANSWERS_KEYS
from runtime.settings import Settings
from tests.e2e.api import API, WAIT_SECONDS, Answer, Client
from tests.e2e.catalogue import Catalogue, unique, variant
from tests.e2e.people import admin
from tests.e2e.shop import Shop
from tests.e2e.test_api_reports import a_clerk, done
from tests.e2e.test_api_reports import body as report_body

Send: TypeAlias = Callable[[], Awaitable[Answer]]
Change: TypeAlias = Callable[[Answer], Awaitable[object]]

SAID: Final = ("ETag", "Location", "Tidegate-Seq", "Tidegate-Command")
URL: Final = "https://receiver.example/hook"


class Write:
    """A write with its own Idempotency-Key, which can be sent any number of times."""

    def __init__(self, client: Client, method: str, path: str, body: Any = None) -> None:
        self._client = client
        self._method = method
        self._path = API + path
        self._data = None if body is None else json.dumps(body).encode()
        self._key = uuid.uuid4().hex

    async def __call__(self, *, wait: int | None = WAIT_SECONDS) -> Answer:
        headers = {"Content-Type": "application/json", "Idempotency-Key": self._key}
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        return await self._client.request(self._method, self._path, data=self._data, headers=headers)


async def _receipt(shop: Shop) -> tuple[Send, Change]:
    sku = await shop.product(on_hand=3)

    async def sell(_: Answer) -> None:
        await shop.customer().placed({sku: 2})

    return Write(shop.staff, "POST", f"/inventory/{sku}/receipts", {"quantity": 5}), sell


async def _adjustment(shop: Shop) -> tuple[Send, Change]:
    sku = await shop.product(on_hand=3)

    async def receive(_: Answer) -> None:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 7})).ok()

    return Write(shop.staff, "POST", f"/inventory/{sku}/adjustments", {"change": -1, "reason": "broken"}), receive


async def _new_product(shop: Shop) -> tuple[Send, Change]:
    catalogue = Catalogue(shop)

    async def rename(first: Answer) -> None:
        (await catalogue.patch(f"/products/{first.json()['id']}", {"name": unique("Renamed")})).ok()

    return Write(catalogue.admin, "POST", "/products", {"name": unique("Lamp")}), rename


async def _changed_product(shop: Shop) -> tuple[Send, Change]:
    catalogue = Catalogue(shop)
    product = await catalogue.create()

    async def archive(_: Answer) -> None:
        (await catalogue.archive(product["id"])).ok()

    return Write(catalogue.admin, "PATCH", f"/products/{product['id']}", {"name": unique("Jar")}), archive


async def _new_variant(shop: Shop) -> tuple[Send, Change]:
    catalogue = Catalogue(shop)
    product, sku = await catalogue.create(), unique("SKU").upper()

    async def reprice(_: Answer) -> None:
        (await catalogue.put_variant(product["id"], sku, price_minor=999)).ok()

    path = f"/products/{product['id']}/variants/{sku}"
    return Write(catalogue.admin, "PUT", path, {"price_minor": 100, "currency": "GBP"}), reprice


async def _new_category(shop: Shop) -> tuple[Send, Change]:
    catalogue = Catalogue(shop)

    async def rename(first: Answer) -> None:
        (await catalogue.patch(f"/categories/{first.json()['id']}", {"name": unique("Renamed")})).ok()

    return Write(catalogue.admin, "POST", "/categories", {"name": unique("Shelf")}), rename


async def _changed_category(shop: Shop) -> tuple[Send, Change]:
    catalogue = Catalogue(shop)
    path = f"/categories/{(await catalogue.category())['id']}"

    async def move(_: Answer) -> None:
        (await catalogue.patch(path, {"position": 7})).ok()

    return Write(catalogue.admin, "PATCH", path, {"position": 3}), move


async def _report(shop: Shop) -> tuple[Send, Change]:
    clerk = a_clerk(shop)

    async def is_made(first: Answer) -> None:
        await done(clerk, first)

    return Write(clerk, "POST", "/reports", report_body()), is_made


async def _revoked_key(shop: Shop) -> tuple[Send, Change]:
    said = {"name": "scanner", "role": "staff", "scopes": ["inventory:read"]}
    key = (await admin(shop).post("/keys", said)).ok(201)

    async def is_used(_: Answer) -> None:
        await shop.database.execute("UPDATE api_keys SET last_used_at = now() WHERE id = $1", uuid.UUID(key["id"]))

    return Write(admin(shop), "POST", f"/keys/{key['id']}/revoke"), is_used


async def _webhook(shop: Shop) -> dict[str, Any]:
    made: dict[str, Any] = (await shop.staff.post("/webhooks", {"url": URL, "event_types": ["category.*"]})).ok(201)
    return made


async def _changed_webhook(shop: Shop) -> tuple[Send, Change]:
    path = f"/webhooks/{(await _webhook(shop))['id']}"

    async def delete(_: Answer) -> None:
        assert (await shop.staff.request("DELETE", API + path)).status == 204

    return Write(shop.staff, "PATCH", path, {"active": False}), delete


async def _redelivery(shop: Shop) -> tuple[Send, Change]:
    path = f"/webhooks/{(await _webhook(shop))['id']}"

    async def delete(_: Answer) -> None:
        assert (await shop.staff.request("DELETE", API + path)).status == 204

    return Write(shop.staff, "POST", f"{path}/redeliver", {"from_seq": 1}), delete


WRITES: Final = (
    _receipt,
    _adjustment,
    _new_product,
    _changed_product,
    _new_variant,
    _new_category,
    _changed_category,
    _report,
    _revoked_key,
    _changed_webhook,
    _redelivery,
)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__[1:])
async def test_the_first_answer_is_repeated_after_later_changes(
    shop: Shop, write: Callable[[Shop], Awaitable[tuple[Send, Change]]]
) -> None:
    send, change = await write(shop)
    first = await send()
    assert first.status in (200, 201), first.body
    await change(first)
    for again in [await send(), await send()]:
        assert (again.status, again.body) == (first.status, first.body)
        assert [again.headers.get(name) for name in SAID] == [first.headers.get(name) for name in SAID]
        assert again.headers["Idempotency-Replayed"] == "true"


async def test_concurrent_repetitions_get_one_answer(shop: Shop) -> None:
    """While stock moves: the first answer decides."""
    sku = await shop.product(on_hand=100)
    send = Write(shop.staff, "POST", f"/inventory/{sku}/receipts", {"quantity": 5})

    async def sell() -> None:
        for _ in range(10):
            await shop.customer().placed({sku: 1})

    *answers, _ = await asyncio.gather(*(send() for _ in range(30)), sell())
    assert len({answer.body for answer in answers if answer is not None}) == 1


async def test_the_first_repetition_that_waits_decides(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)
    send = Write(shop.staff, "POST", f"/inventory/{sku}/receipts", {"quantity": 5})
    accepted = (await send(wait=None)).ok(202)
    await shop.staff.settled(accepted["command_id"])
    first = await send()
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 7})).ok()
    assert first.ok()["on_hand"] == 6
    assert (await send()).body == first.body


@pytest.fixture
async def redis(shop: Shop) -> AsyncIterator[Redis]:
    async with Redis.from_url(shop.system.valkey.url) as client:
        yield client


async def answers_kept(redis: Redis) -> list[bytes]:
    found: list[Any] = [answer for name in ANSWERS_KEYS for answer in await redis.hvals(name)]
    return found


async def _forget(redis: Redis, first: Answer) -> int:
    """How many answers to this command were there to be forgotten."""
    return sum([await redis.hdel(name, first.headers["Tidegate-Command"]) for name in ANSWERS_KEYS])


async def test_a_new_webhook_is_repeated_without_its_secret(shop: Shop, redis: Redis) -> None:
    send = Write(shop.staff, "POST", "/webhooks", {"url": URL, "event_types": ["category.*"]})
    first = (await send()).ok(201)
    path = f"{API}/webhooks/{first['id']}"
    assert (await shop.staff.request("DELETE", path)).status == 204
    again = [await send(), await send()]
    assert again[0].ok(201) == {**first, "secret": None}
    assert again[0].body == again[1].body
    kept = await answers_kept(redis)
    assert any(first["id"].encode() in answer for answer in kept)
    assert not any(first["secret"].encode() in answer for answer in kept), "a secret is kept nowhere"


async def test_a_rotated_secret_is_not_repeated(shop: Shop) -> None:
    path = f"/webhooks/{(await _webhook(shop))['id']}"
    send = Write(shop.staff, "POST", f"{path}/secret")
    first = (await send()).ok()
    (await shop.staff.post(f"{path}/secret")).ok()
    assert (await shop.staff.request("DELETE", API + path)).status == 204
    assert (await send()).ok() == {**first, "secret": None}


async def test_without_a_kept_answer_the_current_state_is_shown(shop: Shop, redis: Redis) -> None:
    """Redis was replaced, or the answer was too large to keep. The outcome is still the first command's."""
    send, change = await _receipt(shop)
    first = await send()
    await change(first)
    assert await _forget(redis, first) == 1
    again = await send()
    assert again.ok() == {**first.ok(), "reserved": 2, "available": 6}
    assert again.headers["Tidegate-Seq"] == first.headers["Tidegate-Seq"]


async def test_a_large_answer_is_not_kept(shop: Shop, redis: Redis) -> None:
    catalogue = Catalogue(shop)
    many = [variant() for _ in range(PRODUCT_MAX_VARIANTS)]
    said = {"name": unique("Lamp"), "description": "☂" * DESCRIPTION_MAX_CHARS, "variants": many}
    first = await Write(catalogue.admin, "POST", "/products", said)()
    first.ok(201)
    assert len(first.body) > Settings.model_fields["answer_kept_max_bytes"].default
    assert await _forget(redis, first) == 0


async def test_no_personal_data_is_kept(shop: Shop, redis: Redis) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    said = {"email": email, "name": "Ada", "password": "correct horse battery"}
    (await Write(admin(shop), "POST", "/users", said)()).ok(201)
    assert not any(email.encode() in answer for answer in await answers_kept(redis))
