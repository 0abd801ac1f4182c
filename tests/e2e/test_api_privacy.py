"""Personal data is in the rows that are meant for it, and nowhere else: after people have come and gone, every table,
Redis and every file is searched for their data and credentials."""

import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.ids import new_id
from domain.model import Personal, Wanted
from domain.orders import PlaceOrder
from runtime import envelope as envelopes
from runtime.entropy import random_bits
from runtime.envelope import Envelope
from tests.e2e.api import API
from tests.e2e.people import (
    ask_for_tokens,
    change_password,
    forget,
    is_refused_everywhere,
    mails,
    newcomer,
    register,
    registered,
    sign_in,
)
from tests.e2e.shop import Shop
from tests.system import eventually_seen

# Where personal data is kept, so that it can be blanked.
_ROWS: Final = {
    ("accounts", "email"),
    ("accounts", "name"),
    ("accounts", "password_hash"),
    ("orders", "email"),
    ("api_keys", "secret_hash"),
    ("webhooks", "secret"),
    ("webhooks", "previous_secret"),
}
# Files that are allowed to hold it: mails, until a server takes them, and the servers' own journals, whose content is
# searched as tables and keys.
_FOLDERS: Final = {"mail", "postgres", "valkey"}

_COLUMNS: Final = """
    SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('pg_catalog', 'information_schema')
"""


async def test_personal_data_is_only_in_rows_that_can_be_blanked(shop: Shop) -> None:
    planted = await _people_come_and_go(shop)
    found = await _in_tables(shop, planted)
    assert {place for place, _ in found} <= _ROWS, found
    # The search itself works: it finds what must be in rows.
    assert {("accounts", "email"), ("orders", "email"), ("webhooks", "secret")} <= {place for place, _ in found}
    assert await _in_redis(shop, planted) == []
    assert _in_files(shop.system.home, planted) == []


async def test_an_erased_person_is_nowhere_and_the_orders_stay(shop: Shop) -> None:
    sku = await shop.product(on_hand=50)
    email = "erased.customer@example.com"
    person = await registered(shop, {"email": email, "name": "Erasmus Erased", "password": "a password of his"})
    tokens = await sign_in(shop, person)
    lines = [{"sku": sku, "quantity": 2}]
    theirs = (await tokens.client.post("/orders", {"lines": lines, "email": email})).ok(201)
    guest = (await shop.anybody.post("/orders", {"lines": lines, "email": email})).ok(201)
    other = (await shop.anybody.post("/orders", {"lines": lines, "email": "stays@example.com"})).ok(201)
    known = (await tokens.client.get("/me/export")).ok()
    assert (known["account"]["email"], known["account"]["name"]) == (email, "Erasmus Erased")
    assert [order["id"] for order in known["orders"]] == [theirs["id"], guest["id"]]
    assert known["orders"][0]["lines"] == [{"sku": sku, "quantity": 2, "unit_price_minor": 250}]
    assert shop.system.tidegate("user", "export", email).stdout.startswith("{")

    assert (await tokens.client.request("DELETE", f"{API}/me")).status == 204
    await is_refused_everywhere(tokens.client)
    (await ask_for_tokens(shop, username=email, password="a password of his")).problem(400, "invalid_grant")
    assert await _in_tables(shop, ["erased.customer", "Erasmus"]) == []
    assert await _in_redis(shop, ["erased.customer", "Erasmus"]) == []
    for order in (theirs, guest, other):
        seen = (await shop.staff.get(f"/orders/{order['id']}")).ok()
        assert (seen["total_minor"], seen["customer_id"]) == (order["total_minor"], order["customer_id"])
        assert seen["email"] == ("stays@example.com" if order is other else None)
    for path in (f"/users/{person.account_id}",):
        (await shop.client("admin", "erasing-admin").get(path)).problem(404, "account_not_found")
    # What remains can still change, and the address is free.
    (await shop.staff.post(f"/orders/{theirs['id']}/confirm")).ok()
    assert await shop.database.fetchval("SELECT count(*) FROM orders WHERE email = $1", email) == 0
    (await register(shop, {"email": email, "name": "Another", "password": "another password"})).ok()


async def test_a_guest_is_erased_by_the_token_of_the_order(shop: Shop) -> None:
    sku = await shop.product(on_hand=50)
    email = "gone.guest@example.com"
    body = {"lines": [{"sku": sku, "quantity": 2}], "email": email}
    placed = (await shop.anybody.post("/orders", body)).ok(201)
    other = (await shop.anybody.post("/orders", {**body, "email": "kept.guest@example.com"})).ok(201)
    guest = shop.with_token(placed["guest_token"])
    known = (await guest.get("/me/export")).ok()
    assert [(order["id"], order["email"], order["lines"]) for order in known["orders"]] == [
        (placed["id"], email, [{"sku": sku, "quantity": 2, "unit_price_minor": 250}])
    ]
    for _ in range(2):
        assert (await guest.request("DELETE", f"{API}/me")).status == 204
    assert await _in_tables(shop, ["gone.guest"]) == []
    assert await _in_redis(shop, ["gone.guest"]) == []
    (order,) = (await guest.get("/me/export")).ok()["orders"]
    assert (order["email"], order["total_minor"]) == (None, 500)
    # The order continues its life, and so does the other guest's.
    (await guest.post(f"/orders/{placed['id']}/confirm")).ok()
    history = (await guest.get(f"/orders/{placed['id']}/history")).ok()["items"]
    assert [each["type"] for each in history].count("order.address_erased") == 2
    assert (await shop.staff.get(f"/orders/{other['id']}")).ok()["email"] == "kept.guest@example.com"
    # A guest without an order, and a principal that is neither guest nor account, have nothing to erase.
    for nobody, code in ((shop.client("guest", "guest:nobody"), "order_not_found"), (shop.staff, "account_not_found")):
        (await nobody.request("DELETE", f"{API}/me")).problem(404, code)
        (await nobody.get("/me/export")).problem(404, code)
    # Tokens with lesser rights are refused.
    (await shop.anybody.request("DELETE", f"{API}/me")).problem(401, "unauthenticated")


async def test_a_guest_is_erased_from_every_order_that_the_token_placed(shop: Shop) -> None:
    sku = await shop.product(on_hand=50)
    body = {"lines": [{"sku": sku, "quantity": 1}], "email": "often.guest@example.com"}
    first = (await shop.anybody.post("/orders", body)).ok(201)
    guest = shop.with_token(first["guest_token"])
    second = (await guest.post("/orders", {**body, "email": "often.guest.elsewhere@example.com"})).ok(201)
    stays = (await shop.anybody.post("/orders", {**body, "email": "stays.guest@example.com"})).ok(201)
    assert (await guest.request("DELETE", f"{API}/me")).status == 204
    assert await _in_tables(shop, ["often.guest"]) == []
    known = (await guest.get("/me/export")).ok()["orders"]
    assert [(order["id"], order["email"]) for order in known] == [(first["id"], None), (second["id"], None)]
    assert (await shop.staff.get(f"/orders/{stays['id']}")).ok()["email"] == "stays.guest@example.com"


async def test_an_address_typed_into_another_s_checkout_gives_no_access_to_it(shop: Shop) -> None:
    await shop.take_terms_back()
    email, lines = "typed.by.bob@example.com", [{"sku": await shop.product(on_hand=50), "quantity": 1}]
    person = await registered(shop, {"email": email, "name": "Ann", "password": "a password of hers"})
    ann, bob = (await sign_in(shop, person)).client, shop.customer()
    bobs = {"name": "Bob", "line1": "2 Quiet Lane", "city": "London", "country": "GB"}
    opened = (await bob.post("/checkouts", {"lines": lines, "email": email, "address": bobs})).ok(201)
    path = f"/checkouts/{opened['id']}"
    order = (await bob.post(f"{path}/complete", {"expected_total_minor": 250})).ok(201)
    known = (await ann.get("/me/export")).ok()
    assert (known["checkouts"], known["orders"]) == ([], [])
    assert (await ann.request("DELETE", f"{API}/me")).status == 204
    seen = (await bob.get(path)).ok()
    assert (seen["email"], seen["address"]["line1"]) == (None, "2 Quiet Lane")
    assert (await bob.get(f"/orders/{order['id']}")).ok()["email"] is None
    assert await _in_tables(shop, ["typed.by.bob"]) == []


@pytest.mark.campaign
async def test_admins_and_the_cli_erase_too_and_nobody_is_erased_twice(shop: Shop) -> None:
    admin = shop.client("admin", "erasing-admin")
    first, second = await newcomer(shop), await newcomer(shop)
    path = f"{API}/users/{first.account_id}"
    assert (await admin.request("DELETE", path)).status == 204
    (await admin.request("DELETE", path)).problem(404, "account_not_found")
    for verb in ("reactivate", "deactivate"):
        assert (await admin.post(f"/users/{first.account_id}/{verb}")).status in (404, 409)
    done = shop.system.tidegate("user", "erase", "--yes", second.email)
    assert (done.returncode, done.stdout) == (0, "The account is erased.\n"), done.stderr
    assert shop.system.tidegate("user", "erase", "--yes", second.email).returncode == 1
    boss = await newcomer(shop, "admin")
    tokens = await sign_in(shop, boss)
    (await tokens.client.request("DELETE", f"{API}/me")).problem(409, "own_account")


async def _people_come_and_go(shop: Shop) -> list[str]:
    """Returns their personal data."""
    sku = await shop.product(on_hand=50)
    email, name, password = "planted.customer@example.com", "Plantagenet Plum", "planted-password-1"
    person = await registered(shop, {"email": email, "name": name, "password": password})
    tokens = await sign_in(shop, person)
    (await ask_for_tokens(shop, username=email, password="planted-password-wrong")).problem(400, "invalid_grant")
    first_hash = await shop.database.fetchval("SELECT password_hash FROM accounts WHERE email = $1", email)
    (await change_password(tokens.client, password, "planted-password-2")).ok()
    await _registered_again_and_forgotten(shop, email)

    guest = "planted.guest@example.com"
    body = {"lines": [{"sku": sku, "quantity": 1}], "email": guest}
    placed = (await shop.anybody.post("/orders", body)).ok(201)
    assert placed["email"] == guest
    owner = shop.with_token(placed["guest_token"])
    (await owner.post(f"/orders/{placed['id']}/confirm")).ok()
    (await owner.post(f"/orders/{placed['id']}/cancel")).ok()
    (await shop.anybody.post("/orders", {**body, "lines": [{"sku": sku, "quantity": 1_000}]})).problem(
        409, "insufficient_stock"
    )
    await _dead_letter(shop, guest)

    admin = shop.client("admin", "planting-admin")
    asked = {"name": "k", "role": "staff", "scopes": ["orders:read"]}
    key = (await admin.post("/keys", asked, wait=None)).ok(201)["key"]
    hook = {"url": "http://127.0.0.1:9/", "event_types": ["webhook.disabled"]}
    made = (await shop.staff.post("/webhooks", hook)).ok(201)
    rotated = (await shop.staff.post(f"/webhooks/{made['id']}/secret", {})).ok()
    await mails(shop, guest, 2)
    hashes = [
        first_hash,
        await shop.database.fetchval("SELECT password_hash FROM accounts WHERE email = $1", email),
        await shop.database.fetchval("SELECT secret_hash FROM api_keys WHERE id = $1", UUID(key[4:36])),
    ]
    given = [tokens.access_token, tokens.refresh_token, placed["guest_token"]]
    secrets = [made["secret"], rotated["secret"], key[37:], *hashes, *given, "planted-password"]
    return ["planted.customer", "Plantagenet", "planted.guest", *secrets]


async def _registered_again_and_forgotten(shop: Shop, email: str) -> None:
    again = {"email": email, "name": "Plantagenet Pear", "password": "planted-password-3"}
    (await register(shop, again)).ok()
    (await forget(shop, email)).ok()
    await mails(shop, email, 3)


async def _dead_letter(shop: Shop, email: str) -> None:
    """A guest's order whose rule raises, so that it becomes a dead letter."""
    order_id = new_id(1_700_000_000_000, 0, random_bits())
    twice = (Wanted("PLANTED", 1), Wanted("PLANTED", 1))
    command = envelopes.encode_command(PlaceOrder(order_id, "guest:planted", twice, Personal(email)))
    command_id = new_id(1_700_000_000_000, 0, random_bits())
    envelope = Envelope(command_id, "guest:planted", False, 1_700_000_000_000_000, command)
    fields = {envelopes.VERSION_FIELD: envelopes.SCHEMA_VERSION, envelopes.ENVELOPE_FIELD: envelopes.encode(envelope)}
    await shop.put_entry(0, fields)

    async def is_buried() -> bool:
        return bool(await shop.database.fetchval("SELECT lost FROM dead_letters WHERE command_id = $1", command_id))

    await eventually_seen("a dead letter that says what it lost", is_buried, within_seconds=15)


async def _in_tables(shop: Shop, planted: list[str]) -> list[tuple[tuple[str, str], str]]:
    """Which columns of which tables, of any type and in all schemas, hold which of these."""
    found = []
    for schema, table, column in await shop.database.fetch(_COLUMNS):
        said = f"""
            SELECT w FROM unnest($1::text[]) AS w WHERE EXISTS (
                SELECT FROM "{schema}"."{table}" WHERE position(w IN "{column}"::text) > 0
                    OR position(encode(w::bytea, 'hex') IN "{column}"::text) > 0
            )
        """
        found += [((table, column), row["w"]) for row in await shop.database.fetch(said, planted)]
    return found


async def _in_redis(shop: Shop, planted: list[str]) -> list[tuple[str, str]]:
    """Which keys hold, or are named after, which of these."""
    wanted = [word.encode() for word in planted]
    found = []
    async with Redis.from_url(shop.system.valkey.url) as redis:
        keys: list[bytes] = [key async for key in redis.scan_iter("*", count=1_000)]
        for key in keys:
            held = repr(await _value(redis, key)).encode() + key
            found += [(key.decode(errors="replace"), word.decode()) for word in wanted if word in held]
    return found


async def _value(redis: Any, key: bytes) -> Any:
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"stream":
            return await redis.xrange(key)
        case b"zset":
            return await redis.zrange(key, 0, -1)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"set":
            return await redis.smembers(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"none":
            return None
        case kind:
            raise AssertionError(f"{kind!r} is not searched")


def _in_files(home: Path, planted: list[str]) -> list[tuple[str, str]]:
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in planted))
    return [
        (str(path.relative_to(home)), found[0].decode())
        for path in home.rglob("*")
        if path.is_file()
        and path.relative_to(home).parts[0] not in _FOLDERS
        and (found := pattern.search(path.read_bytes()))
    ]
