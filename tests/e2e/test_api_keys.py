"""API keys: shown once, valid for their scopes, refused everywhere once revoked."""

import itertools
import json
from typing import Any

import pytest

from tests.e2e.api import API, Answer, Client
from tests.e2e.people import JSON, admin, is_refused_everywhere, is_served_everywhere
from tests.e2e.shop import Shop
from tests.system import eventually_seen

_numbers = itertools.count(1)

STOCK = ["inventory:read", "inventory:write"]


async def create(client: Client, **body: Any) -> Answer:
    data = json.dumps({"name": "scanner", "role": "staff", "scopes": STOCK, **body}).encode()
    return await client.request("POST", f"{API}/keys", data=data, headers=JSON)


async def new_key(shop: Shop, **body: Any) -> dict[str, Any]:
    key: dict[str, Any] = (await create(admin(shop), **body)).ok(201)
    return key


async def test_a_key_does_what_its_scopes_allow_and_no_more(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)
    key = await new_key(shop)
    client = shop.with_token(key["key"])
    (await client.post(f"/inventory/{sku}/receipts", {"quantity": 4})).ok()
    assert await client.inventory(sku) == (5, 0, 5)
    (await client.get("/events")).problem(403, "forbidden")
    (await client.get("/users")).problem(403, "forbidden")
    (await client.get("/me")).problem(404, "account_not_found")
    (event,) = await shop.database.fetch(
        "SELECT actor FROM events WHERE type = 'stock.received' AND subject = $1 ORDER BY seq DESC LIMIT 1", sku
    )
    assert event["actor"] == f"key:{key['id']}"


async def test_a_key_is_shown_once(shop: Shop) -> None:
    answer = await create(admin(shop))
    key = answer.ok(201)
    assert answer.headers["Cache-Control"] == "no-store"
    secret = key.pop("key").split("_", maxsplit=2)[2]  # which may itself contain underscores
    shown = await admin(shop).get(f"/keys/{key['id']}")
    assert shown.ok() == key
    listed = await admin(shop).get("/keys")
    assert listed.ok()["items"][0] == key
    events = await shop.database.fetch("SELECT data::text FROM events WHERE subject = $1", key["id"])
    kept = await shop.database.fetchval("SELECT secret_hash FROM api_keys WHERE id = $1", key["id"])
    for text in (shown.body.decode(), listed.body.decode(), *(row["data"] for row in events)):
        assert secret not in text
        assert kept not in text
    assert secret not in kept


async def test_a_revoked_key_is_refused_everywhere_within_a_second(shop: Shop) -> None:
    key = await new_key(shop, scopes=["events:read"])
    client = shop.with_token(key["key"])
    await is_served_everywhere(client, "/events")
    assert (await admin(shop).post(f"/keys/{key['id']}/revoke")).ok()["revoked"]
    await is_refused_everywhere(client, "/events")
    (await admin(shop).post(f"/keys/{key['id']}/revoke")).problem(409, "api_key_revoked")
    (await admin(shop).post("/keys/01a20427-6375-7932-932c-30f4472980cd/revoke")).problem(404, "api_key_not_found")


async def test_a_key_shows_when_it_was_last_used(shop: Shop) -> None:
    key = await new_key(shop, scopes=["events:read"])
    assert key["last_used_at"] is None

    async def last_used() -> Any:
        return (await admin(shop).get(f"/keys/{key['id']}")).ok()["last_used_at"]

    (await shop.with_token(key["key"]).get("/events")).ok()
    await eventually_seen("a last use", last_used, within_seconds=5)


async def test_a_key_that_is_almost_right_is_refused(shop: Shop) -> None:
    key = (await new_key(shop, scopes=["events:read"]))["key"]
    other = (await new_key(shop, scopes=["events:read"]))["key"]
    prefix, key_id, secret = key.split("_", 2)
    for bad in (
        key[:-1],
        key + "A",
        key.upper(),
        f"{prefix}_{key_id}_{secret[::-1]}",
        f"{prefix}_{other.split('_')[1]}_{secret}",
        f"{prefix}_{'0' * 32}_{secret}",
        f"{prefix}_{key_id}_",
    ):
        (await shop.with_token(bad).get("/events")).problem(401, "invalid_token")
    (await shop.with_token(key).get("/events")).ok()


async def test_nobody_grants_more_rights_than_they_have(shop: Shop) -> None:
    maker = shop.with_token((await new_key(shop, role="admin", scopes=["keys:write", "events:read"]))["key"])
    (await create(maker, role="admin", scopes=["users:write"])).problem(403, "forbidden")
    (await create(maker, scopes=["events:read"])).ok(201)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["users:write"]}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes"),
        ({"scopes": "events:read"}, "/scopes"),
        ({"role": "guest"}, "/role"),
        ({"name": ""}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"revoked": True}, "/revoked"),
        ({"secret_hash": "x"}, "/secret_hash"),
    ],
)
async def test_invalid_keys_are_refused(shop: Shop, changes: dict[str, Any], pointer: str) -> None:
    assert (await create(admin(shop), **changes)).pointers() == {pointer}


async def test_a_key_creates_no_account_with_more_rights_than_its_own(shop: Shop) -> None:
    """With `users:write` alone, a key could otherwise create an admin and sign in as that."""
    number = next(_numbers)
    client = shop.with_token((await new_key(shop, role="admin", scopes=["users:write"]))["key"])

    def user(role: str) -> dict[str, str]:
        email = f"by-a-key-{number}-{role}@example.com"
        return {"email": email, "name": "Eve", "password": "a password of Eve", "role": role}

    for role in ("staff", "admin"):
        (await client.post("/users", user(role))).problem(403, "forbidden")
    customer = (await client.post("/users", user("customer"))).ok(201)

    async def change(by: Client, **changes: str) -> Answer:
        data = json.dumps(changes).encode()
        return await by.request("PATCH", f"{API}/users/{customer['id']}", data=data, headers=JSON)

    for role in ("staff", "admin"):
        (await change(client, role=role)).problem(403, "forbidden")
    (await change(client, role="customer", name="Adam")).ok()
    (await change(admin(shop), role="staff")).ok()


async def test_a_key_of_staff_without_the_log_sees_no_commands_of_others(shop: Shop) -> None:
    placed = (await shop.customer().place({await shop.product(on_hand=1): 1}, wait=None)).ok(202)
    blind = shop.with_token((await new_key(shop))["key"])
    (await blind.get(f"/commands/{placed['command_id']}")).problem(404, "not_found")
    seeing = shop.with_token((await new_key(shop, scopes=["events:read"]))["key"])
    (await seeing.get(f"/commands/{placed['command_id']}")).ok()
