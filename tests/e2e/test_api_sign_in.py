"""Signing in, staying signed in and signing out, as OAuth clients and others do it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from domain.roles import SCOPES_OF_ROLE
from runtime.settings import DEVELOPMENT_SECRET
from runtime.signing_keys import KeyRing
from runtime.tokens import claims_of
from tests.e2e.api import Answer
from tests.e2e.people import (
    AUTH,
    FORM,
    JSON,
    Tokens,
    ask_for_tokens,
    ask_to_refresh,
    is_refused_everywhere,
    is_served_everywhere,
    newcomer,
    refresh,
    registered,
    sign_in,
    sign_out,
)
from tests.e2e.shop import Shop

KEYS = KeyRing.shared(DEVELOPMENT_SECRET, development=True)


def refused(answer: Answer, status: int, code: str, error: str) -> None:
    """Fails unless this is the problem, with OAuth's error code as well."""
    problem = answer.problem(status, code)
    assert problem["error"] == error
    assert problem["error_description"] == problem["detail"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_sign_in_gives_tokens_that_name_their_holder(shop: Shop) -> None:
    person = await newcomer(shop, "staff")
    tokens = await sign_in(shop, person)
    claims = claims_of(tokens.access_token, KEYS)
    assert (claims["sub"], claims["roles"]) == (person.account_id, ["staff"])
    assert set(tokens.scope.split()) == set(claims["scope"].split()) == SCOPES_OF_ROLE["staff"]
    assert (await tokens.client.get("/me")).ok()["email"] == person.email
    (await tokens.client.get("/events")).ok()
    (await tokens.client.get("/users")).problem(403, "forbidden")


async def test_the_address_s_case_and_the_spelling_of_the_password_do_not_matter(shop: Shop) -> None:
    body = {"email": "Zo.Case@Example.com", "name": "Zoë"}
    await registered(shop, {**body, "password": "pa\u0308ssword"})
    for password in ("pa\u0308ssword", "p\u00e4ssword", "p\u00e4\uff53sword"):
        (await ask_for_tokens(shop, username="zo.case@example.COM ", password=password)).ok()


async def test_wrong_passwords_and_unknown_addresses_look_the_same(shop: Shop) -> None:
    person = await newcomer(shop)
    answers = [
        await ask_for_tokens(shop, username=person.email, password="not the password"),
        await ask_for_tokens(shop, username=person.email, password=""),
        await ask_for_tokens(shop, username=person.email, password="x" * 1_000),
        await ask_for_tokens(shop, username="nobody@example.com", password=person.password),
        await ask_for_tokens(shop, username="no address", password=person.password),
        await ask_for_tokens(shop, username="", password=""),
        await ask_for_tokens(shop, username="' OR 1=1 --", password="' OR 1=1 --"),
        await ask_for_tokens(shop, username="a\0b@example.com", password="a\0bcdefgh"),
    ]
    for answer in answers:
        refused(answer, 400, "invalid_grant", "invalid_grant")
    assert len({answer.body for answer in answers}) == 1


async def test_scopes_narrow_what_the_role_allows(shop: Shop) -> None:
    person = await newcomer(shop, "staff")
    tokens = await sign_in(shop, person, scope="orders:read events:read")
    assert tokens.scope == "events:read orders:read"
    (await tokens.client.get("/events")).ok()
    (await tokens.client.post("/inventory/X/receipts", {"quantity": 1})).problem(403, "forbidden")
    again = await refresh(shop, tokens)
    assert again.scope == tokens.scope
    (await again.client.post("/inventory/X/receipts", {"quantity": 1})).problem(403, "forbidden")


@pytest.mark.parametrize("scope", ["users:write", "orders:read users:write", "everything", "orders:read,orders:write"])
async def test_scopes_beyond_the_role_are_refused(shop: Shop, scope: str) -> None:
    person = await newcomer(shop)
    answer = await ask_for_tokens(shop, username=person.email, password=person.password, scope=scope)
    refused(answer, 400, "invalid_scope", "invalid_scope")


@pytest.mark.parametrize(
    ("data", "code", "error"),
    [
        (b"", "malformed_request", "invalid_request"),
        (b"username=a&password=b", "malformed_request", "invalid_request"),
        (b"grant_type=password&username=a", "malformed_request", "invalid_request"),
        (b"grant_type=password&username=a&username=b&password=c", "malformed_request", "invalid_request"),
        (b"grant_type=password&username=%ff&password=c", "malformed_request", "invalid_request"),
        (b"grant_type=password&username=\xff&password=c", "malformed_request", "invalid_request"),
        (b"&".join(b"f%d=1" % n for n in range(30)), "malformed_request", "invalid_request"),
        (b"grant_type=client_credentials&username=a&password=b", "unsupported_grant_type", "unsupported_grant_type"),
        (b'{"grant_type": "password"}', "malformed_request", "invalid_request"),
    ],
)
async def test_invalid_token_requests_are_refused(shop: Shop, data: bytes, code: str, error: str) -> None:
    refused(await shop.anybody.request("POST", f"{AUTH}/token", data=data, headers=FORM), 400, code, error)


async def test_other_fields_that_clients_send_are_ignored(shop: Shop) -> None:
    """Swagger UI's Authorize button sends a client id and secret, empty or not."""
    person = await newcomer(shop)
    more = {"client_id": "swagger", "client_secret": "", "audience": "x"}
    (await ask_for_tokens(shop, username=person.email, password=person.password, **more)).ok()


async def test_a_token_request_must_be_a_form_within_its_bound(shop: Shop) -> None:
    answer = await shop.anybody.request("POST", f"{AUTH}/token", data=b"{}", headers=JSON)
    refused(answer, 415, "unsupported_media_type", "invalid_request")
    answer = await shop.anybody.request("POST", f"{AUTH}/token", data=b"a" * 300_000, headers=FORM)
    refused(answer, 413, "body_too_large", "invalid_request")


async def test_guessing_is_throttled_and_the_owner_can_still_sign_in_elsewhere(shop: Shop) -> None:
    person = await newcomer(shop)
    answers = [await ask_for_tokens(shop, username=person.email, password=f"guess {n}") for n in range(12)]
    assert [answer.status for answer in answers] == [400] * 10 + [429] * 2
    refused(answers[-1], 429, "too_many_attempts", "temporarily_unavailable")
    assert '"account-and-address";r=0;t=' in answers[-1].headers["RateLimit"]
    assert '"account-and-address";q=10;w=900' in answers[-1].headers["RateLimit-Policy"]
    assert '"account-and-address";r=9;t=' in answers[0].headers["RateLimit"]
    # Everyone here has the same address; the throttle's own tests show that others are not held back.
    await sign_in(shop, await newcomer(shop))


async def test_each_refresh_gives_a_new_pair_and_the_old_access_token_stays_valid(shop: Shop) -> None:
    first = await sign_in(shop, await newcomer(shop))
    second = await refresh(shop, first)
    third = await refresh(shop, second)
    assert len({tokens.refresh_token for tokens in (first, second, third)}) == 3
    for tokens in (first, second, third):
        await is_served_everywhere(tokens.client)


async def test_a_reused_refresh_token_ends_the_family(shop: Shop) -> None:
    person = await newcomer(shop)
    elsewhere = await sign_in(shop, person)
    first = await sign_in(shop, person)
    second = await refresh(shop, first)
    async with _a_minute_later(shop, first):
        refused(await ask_to_refresh(shop, first.refresh_token), 401, "invalid_refresh_token", "invalid_grant")
    await is_refused_everywhere(second.client)
    await is_refused_everywhere(first.client)
    refused(await ask_to_refresh(shop, second.refresh_token), 401, "invalid_refresh_token", "invalid_grant")
    await is_served_everywhere(elsewhere.client)  # another sign-in is another family
    await refresh(shop, elsewhere)


async def test_a_refresh_token_reused_after_two_more_refreshes_ends_the_family_however_soon(shop: Shop) -> None:
    first = await sign_in(shop, await newcomer(shop))
    third = await refresh(shop, await refresh(shop, first))
    refused(await ask_to_refresh(shop, first.refresh_token), 401, "invalid_refresh_token", "invalid_grant")
    await is_refused_everywhere(third.client)


async def test_concurrent_refreshes_do_not_end_the_family(shop: Shop) -> None:
    """Two or more tabs, at two gateways; or a retry after a lost answer."""
    tokens = await sign_in(shop, await newcomer(shop))
    answers = await asyncio.gather(*(ask_to_refresh(shop, tokens.refresh_token) for _ in range(8)))
    given = [answer.ok() for answer in (*answers, await ask_to_refresh(shop, tokens.refresh_token))]
    for each in given:
        await is_served_everywhere(shop.with_token(each["access_token"]))
    # Each tab continues with its own tokens, again concurrently.
    after = await asyncio.gather(*(ask_to_refresh(shop, each["refresh_token"]) for each in given))
    await is_served_everywhere(shop.with_token(after[0].ok()["access_token"]))
    assert all(answer.status == 200 for answer in after)


@asynccontextmanager
async def _a_minute_later(shop: Shop, tokens: Tokens) -> AsyncIterator[None]:
    """While the block runs, the session's last refresh appears a minute older than it is."""
    session_id = UUID(claims_of(tokens.access_token, KEYS)["sid"])
    move = "UPDATE sessions SET refreshed_at = refreshed_at + $2 * interval '1 second' WHERE id = $1"
    await shop.database.execute(move, session_id, -60)
    try:
        yield
    finally:
        await shop.database.execute(move, session_id, 60)


async def test_a_refresh_token_gives_no_access_and_an_access_token_refreshes_nothing(shop: Shop) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    (await shop.with_token(tokens.refresh_token).get("/me")).problem(401, "invalid_token")
    for token in (tokens.access_token, "abc", "a.b.c", tokens.refresh_token[:-2]):
        refused(await ask_to_refresh(shop, token), 401, "invalid_refresh_token", "invalid_grant")
    await refresh(shop, tokens)  # none of this has harmed it


@pytest.mark.parametrize("body", [{}, {"refresh_token": 1}, {"refresh_token": "a", "role": "admin"}, [], "x"])
async def test_invalid_refreshes_are_refused(shop: Shop, body: Any) -> None:
    data = json.dumps(body).encode()
    answer = await shop.anybody.request("POST", f"{AUTH}/refresh", data=data, headers=JSON)
    refused(answer, 422, "invalid_request", "invalid_request")


@pytest.mark.parametrize("by", ["access_token", "refresh_token"])
async def test_a_signed_out_session_is_refused_everywhere_within_a_second(shop: Shop, by: str) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    await is_served_everywhere(tokens.client)
    if by == "access_token":
        answer = await sign_out(tokens.client)
    else:
        answer = await sign_out(shop.anybody, tokens.refresh_token)
    assert (answer.status, answer.body) == (204, b"")
    await is_refused_everywhere(tokens.client)
    refused(await ask_to_refresh(shop, tokens.refresh_token), 401, "invalid_refresh_token", "invalid_grant")


async def test_a_sign_out_must_name_its_session(shop: Shop) -> None:
    (await sign_out(shop.anybody)).problem(401, "unauthenticated")
    (await sign_out(shop.anybody, "abc")).problem(401, "invalid_refresh_token")
    (await sign_out(shop.customer())).problem(409, "no_session")


async def test_a_shared_secret_has_no_public_keys(shop: Shop) -> None:
    answer = await shop.anybody.request("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.json()) == (200, {"keys": []})
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
