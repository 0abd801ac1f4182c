"""Accounts: registration, one's own profile and password, and what admins do with everyone's."""

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.api import API, Client
from tests.e2e.people import (
    JSON,
    admin,
    ask_for_tokens,
    ask_to_refresh,
    change_password,
    is_refused_everywhere,
    is_served_everywhere,
    newcomer,
    refresh,
    register,
    registered,
    sign_in,
)
from tests.e2e.shop import Shop


async def patch(client: Client, path: str, body: Any) -> Any:
    return await client.request("PATCH", API + path, data=json.dumps(body).encode(), headers=JSON)


async def test_a_registered_person_is_a_customer_and_can_sign_in(shop: Shop) -> None:
    said = {"email": "Grace@Example.com", "name": " Grace Hopper ", "password": "nanoseconds"}
    tokens = await sign_in(shop, await registered(shop, said))
    account = (await tokens.client.get("/me")).ok()
    assert (account["email"], account["name"]) == ("grace@example.com", "Grace Hopper")
    assert (account["role"], account["active"]) == ("customer", True)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email": "grace"}, "/email"),
        ({"email": "g@example.com\r\nBcc: x@example.com"}, "/email"),
        ({"email": 7}, "/email"),
        ({"name": ""}, "/name"),
        ({"name": "   "}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\x0bb"}, "/name"),
        ({"name": "\u202eadmin"}, "/name"),
        ({"password": "seven77"}, "/password"),
        ({"password": "x" * 257}, "/password"),
        ({"password": None}, "/password"),
        ({"role": "admin"}, "/role"),
        ({"id": "01a20427-6375-7932-932c-30f4472980cd"}, "/id"),
        ({"epoch": 1}, "/epoch"),
    ],
)
async def test_invalid_registrations_are_refused(shop: Shop, changes: dict[str, Any], pointer: str) -> None:
    body = {"email": "eve@example.com", "name": "Eve", "password": "eve's password", **changes}
    answer = await register(shop, body)
    assert answer.pointers() == {pointer}
    assert b"eve's password" not in answer.body


async def test_people_change_their_own_name_and_nothing_else(shop: Shop) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    before = (await tokens.client.get("/me")).ok()
    after = (await patch(tokens.client, "/me", {"name": "Another Name"})).ok()
    assert {**after, "updated_at": None} == {**before, "name": "Another Name", "updated_at": None}
    for field in ("role", "email", "active", "password"):
        assert (await patch(tokens.client, "/me", {field: "admin"})).pointers() == {f"/{field}"}
    await is_served_everywhere(tokens.client)


async def test_a_token_without_an_account_has_no_profile(shop: Shop) -> None:
    (await shop.customer().get("/me")).problem(404, "account_not_found")
    (await patch(shop.customer(), "/me", {"name": "X"})).problem(404, "account_not_found")
    (await change_password(shop.customer(), "a", "long enough")).problem(404, "account_not_found")


async def test_a_password_change_ends_every_other_session(shop: Shop) -> None:
    person = await newcomer(shop)
    here, elsewhere = await sign_in(shop, person), await sign_in(shop, person)
    (await change_password(here.client, "not the password", "the next password")).problem(403, "wrong_password")
    assert (await change_password(here.client, person.password, "short")).pointers() == {"/new_password"}
    given = (await change_password(here.client, person.password, "the next password")).ok()
    await is_refused_everywhere(elsewhere.client)
    (await ask_to_refresh(shop, elsewhere.refresh_token)).problem(401, "invalid_refresh_token")
    await is_refused_everywhere(here.client)  # its old token; the answer carries a new one
    await is_served_everywhere(shop.with_token(given["access_token"]))
    await is_served_everywhere((await refresh(shop, here)).client)
    (await ask_for_tokens(shop, username=person.email, password=person.password)).problem(400, "invalid_grant")
    await sign_in(shop, person._replace(password="the next password"))


async def test_an_admin_creates_finds_and_lists_accounts(shop: Shop) -> None:
    root = admin(shop)
    people = [await newcomer(shop, role) for role in ("customer", "staff", "admin")]
    pages = await root.pages("/users", limit=2)
    listed = [account["id"] for page in pages for account in page]
    assert listed == sorted(listed, reverse=True)
    assert {person.account_id for person in people} <= set(listed)
    (found,) = (await root.get("/users", email=people[1].email.upper())).ok()["items"]
    assert found == (await root.get(f"/users/{people[1].account_id}")).ok()
    assert found["role"] == "staff"
    assert all(account["role"] == "admin" for account in (await root.get("/users", role="admin")).ok()["items"])
    (await root.get("/users", email="nothing")).problem(422, "invalid_request")
    (await root.get("/users/01a20427-6375-7932-932c-30f4472980cd")).problem(404, "account_not_found")


async def test_a_repeated_request_creates_one_account(shop: Shop) -> None:
    body = {"email": "once@example.com", "name": "Once", "password": "the first time"}
    first = (await admin(shop).post("/users", body, key="once")).ok(201)
    again = await admin(shop).post("/users", body, key="once")
    assert again.ok(201) == first
    assert again.headers["Idempotency-Replayed"] == "true"
    (await admin(shop).post("/users", {**body, "name": "Twice"}, key="once")).problem(422, "idempotency_key_reused")
    (await admin(shop).post("/users", body)).problem(409, "email_taken")


async def test_of_concurrent_registrations_one_gets_the_address(shop: Shop) -> None:
    """Their accounts belong to different mailboxes, so only the table's constraint can decide."""
    body = {"email": "many@example.com", "name": "One of Many", "password": "all at once"}
    answers = await asyncio.gather(*(register(shop, body) for _ in range(12)))
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert await shop.database.fetchval("SELECT count(*) FROM accounts WHERE email = $1", body["email"]) == 1


async def test_without_waiting_the_answer_says_where_to_look(shop: Shop) -> None:
    body = {"email": "later@example.com", "name": "Later", "password": "one day, perhaps"}
    accepted = (await admin(shop).post("/users", body, wait=0)).ok(202)
    command = await admin(shop).settled(accepted["command_id"])
    assert (command["status"], command["outcome"]["account_id"]) == ("applied", accepted["id"])
    assert command["request"]["password_hash"] == "(hidden)"
    assert command["outcome"]["password_hash"] is None


async def test_a_deactivated_account_is_refused_everywhere_within_a_second(shop: Shop) -> None:
    person = await newcomer(shop)
    tokens = await sign_in(shop, person)
    await is_served_everywhere(tokens.client)
    assert not (await admin(shop).post(f"/users/{person.account_id}/deactivate")).ok()["active"]
    await is_refused_everywhere(tokens.client)
    (await ask_to_refresh(shop, tokens.refresh_token)).problem(401, "invalid_refresh_token")
    (await ask_for_tokens(shop, username=person.email, password=person.password)).problem(400, "invalid_grant")
    (await admin(shop).post(f"/users/{person.account_id}/deactivate")).problem(409, "account_state_conflict")
    assert (await admin(shop).post(f"/users/{person.account_id}/reactivate")).ok()["active"]
    await is_refused_everywhere(tokens.client)
    await is_served_everywhere((await sign_in(shop, person)).client)


async def test_another_role_ends_the_sessions_of_the_one_before(shop: Shop) -> None:
    person = await newcomer(shop, "staff")
    tokens = await sign_in(shop, person)
    changed = (await patch(admin(shop), f"/users/{person.account_id}", {"role": "customer"})).ok()
    assert changed["role"] == "customer"
    await is_refused_everywhere(tokens.client)
    (await (await sign_in(shop, person)).client.get("/events")).problem(403, "forbidden")


async def test_admins_cannot_remove_their_own_rights(shop: Shop) -> None:
    person = await newcomer(shop, "admin")
    tokens = await sign_in(shop, person)
    path = f"/users/{person.account_id}"
    (await patch(tokens.client, path, {"role": "staff"})).problem(409, "own_account")
    (await tokens.client.post(f"{path}/deactivate")).problem(409, "own_account")
    (await patch(tokens.client, path, {"name": "Still Admin", "role": "admin"})).ok()
    await is_served_everywhere(tokens.client)


@pytest.mark.parametrize("changes", [{"role": "guest"}, {"role": "root"}, {"email": "x@example.com"}, {"epoch": 0}])
async def test_invalid_changes_of_an_account_are_refused(shop: Shop, changes: dict[str, Any]) -> None:
    person = await newcomer(shop)
    assert (await patch(admin(shop), f"/users/{person.account_id}", changes)).pointers() == {f"/{next(iter(changes))}"}


async def test_passwords_and_their_hashes_appear_nowhere(shop: Shop) -> None:
    person = await newcomer(shop)
    tokens = await sign_in(shop, person)
    (await change_password(tokens.client, person.password, "a password that is new")).ok()
    hashes = [row["password_hash"] for row in await shop.database.fetch("SELECT password_hash FROM accounts")]
    assert hashes
    assert all(password_hash.startswith("$argon2id$") for password_hash in hashes)
    seen = [row["data"] for row in await shop.database.fetch("SELECT data::text FROM events")]
    seen += [shop.system.log(name).read_text(errors="replace") for name in ("gateway", "worker", "background")]
    rows = await shop.database.fetch("SELECT id FROM commands WHERE type IN ('CreateAccount', 'ChangePassword')")
    seen += [(await shop.staff.get(f"/commands/{row['id']}")).body.decode() for row in rows]
    for text in seen:
        assert "argon2" not in text
        assert person.password not in text
        assert "a password that is new" not in text
