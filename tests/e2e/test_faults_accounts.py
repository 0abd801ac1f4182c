"""What was revoked stays refused by every gateway process, whatever breaks or begins anew; and signing keys rotate
while gateways run.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import jwt
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from runtime.cli.keys import new_jwk
from runtime.database import asyncpg_dsn
from runtime.demo import DEMO_ACCOUNTS, DemoAccount
from runtime.keys import EDDSA, RS256, KeyRing, read_jwks
from runtime.settings import DEVELOPMENT_SECRET
from runtime.tokens import AUDIENCE, ISSUER, mint
from tests.e2e.faults import workers_stopped
from tests.e2e.people import (
    Person,
    Tokens,
    admin,
    ask_for_tokens,
    ask_to_refresh,
    is_refused_everywhere,
    is_served_everywhere,
    newcomer,
    refresh,
    sign_in,
    sign_out,
)
from tests.e2e.shop import Shop
from tests.listings import Listings
from tests.system import System, eventually_seen

_RECOVERS_SECONDS: Final = 10.0
_NOTICED_SECONDS: Final = 3.0


@pytest.fixture(scope="module")
def keys_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing-keys.json"
    _put(path, [new_jwk(EDDSA, int(time.time()))])
    return path


@pytest_asyncio.fixture(scope="module")
async def shop(keys_path: Path) -> AsyncIterator[Shop]:
    """Two gateway processes in production, whose tokens are signed with key pairs; all tests here break it in turn."""
    settings = {
        "TIDEGATE_MODE": "production",
        "TIDEGATE_GATEWAY_PROCESSES": "2",
        "TIDEGATE_SIGNING_KEYS": str(keys_path),
    }
    with System(settings) as system:
        database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http, Listings(system) as listings:
            yield Shop(system, http, database, listings)
        code, found = system.verify()
        assert code == 0, found
        assert not system.tracebacks()
        database.terminate()


async def test_a_sign_out_is_heard_though_the_feed_was_just_cut(shop: Shop) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    await is_served_everywhere(tokens.client)
    async with Redis.from_url(shop.system.valkey.url) as redis:
        # Whoever listens reconnects; what is published until then, nobody hears.
        assert await redis.client_kill_filter(_type="pubsub") >= 2
    assert (await sign_out(tokens.client)).status == 204
    await is_refused_everywhere(tokens.client)


async def test_a_sign_out_is_heard_after_redis_was_killed(shop: Shop) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    await asyncio.to_thread(shop.system.valkey.kill)
    await is_served_everywhere(tokens.client)  # a token is checked without asking anybody
    (await sign_out(tokens.client)).problem(503, "mailboxes_unavailable")
    (await ask_to_refresh(shop, tokens.refresh_token)).problem(503, "mailboxes_unavailable")
    await asyncio.to_thread(shop.system.valkey.start)

    async def is_signed_out() -> bool:
        return (await sign_out(tokens.client)).status in (204, 401)

    await eventually_seen("a sign-out", is_signed_out, within_seconds=_RECOVERS_SECONDS)
    await is_refused_everywhere(tokens.client)


async def test_a_gateway_that_begins_anew_knows_what_was_revoked(shop: Shop) -> None:
    signed_out, deactivated, good = await _revoked_before(shop)
    await asyncio.to_thread(shop.system.kill_process, "gateway")
    shop.system.start_process("gateway")
    await _answers(shop, "ready")
    await is_served_everywhere(good.client)
    await is_refused_everywhere(signed_out.client)
    await is_refused_everywhere(deactivated.client)


@pytest.mark.campaign
async def test_a_gateway_that_begins_without_postgres_learns_it_when_that_is_back(shop: Shop) -> None:
    signed_out, deactivated, good = await _revoked_before(shop)
    await asyncio.to_thread(shop.system.kill_process, "gateway")
    await asyncio.to_thread(shop.system.postgres.stop)
    shop.system.start_process("gateway")
    await _answers(shop, "degraded")
    await asyncio.to_thread(shop.system.postgres.start)
    await _answers(shop, "ready")

    async def are_refused() -> bool:
        answers = [await tokens.client.get("/me") for tokens in (signed_out, deactivated) for _ in range(8)]
        return all(answer.status == 401 for answer in answers)

    await eventually_seen("refusals", are_refused, within_seconds=_RECOVERS_SECONDS)
    await is_served_everywhere(good.client)


async def test_without_workers_nobody_is_signed_in_and_nobody_waits_for_ever(shop: Shop) -> None:
    person = await newcomer(shop)
    async with workers_stopped(shop.system):
        answer = await ask_for_tokens(shop, username=person.email, password=person.password)
        assert answer.problem(503, "undecided")["error"] == "temporarily_unavailable"
    await sign_in(shop, person)


async def test_keys_rotate_under_running_gateways(shop: Shop, keys_path: Path) -> None:
    person = await newcomer(shop)
    before = await sign_in(shop, person)
    old = _kid(before.access_token)
    done = await asyncio.to_thread(shop.system.tidegate, "keys", "rotate", "--algorithm", RS256)
    assert done.returncode == 0, done.stderr

    async def signs_anew() -> bool:
        return _kid((await sign_in(shop, person)).access_token) != old

    await eventually_seen("a token signed with the new key", signs_anew, within_seconds=_NOTICED_SECONDS)
    after = await refresh(shop, before)  # signed with the old key, and good
    for tokens in (before, after):
        await is_served_everywhere(tokens.client)

    public = (await shop.anybody.request("GET", "/.well-known/jwks.json")).json()
    assert [key["alg"] for key in public["keys"]] == [RS256, EDDSA]
    for tokens in (before, after):
        key = jwt.PyJWKSet.from_dict(public)[_kid(tokens.access_token)]
        claims = jwt.decode(tokens.access_token, key, audience=AUDIENCE, issuer=ISSUER)
        assert claims["sub"] == person.account_id


async def test_a_key_that_is_taken_out_signs_for_nobody_any_more(shop: Shop, keys_path: Path) -> None:
    stolen = read_jwks(keys_path)[0]
    tokens = await sign_in(shop, await newcomer(shop))
    await is_served_everywhere(tokens.client)
    _put(keys_path, [new_jwk(EDDSA, int(time.time()))])

    async def is_refused() -> bool:
        answers = await asyncio.gather(*(tokens.client.get("/me") for _ in range(12)))
        return all(answer.status == 401 for answer in answers)

    await eventually_seen("a refusal by every gateway", is_refused, within_seconds=_NOTICED_SECONDS)
    (await ask_to_refresh(shop, tokens.refresh_token)).problem(401, "invalid_refresh_token")
    forged = mint(_ring_of(keys_path, stolen), "eve", ["admin"], lifetime_seconds=60)
    (await shop.with_token(forged).get("/users")).problem(401, "invalid_token")


async def test_no_other_key_and_no_other_algorithm(shop: Shop, keys_path: Path) -> None:
    """Forged `kid`, the development secret, and HS256 with what everybody may know, the public key."""
    public = (await shop.anybody.request("GET", "/.well-known/jwks.json")).json()["keys"][0]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "roles": ["admin"], "iat": 1, "exp": 2**40}
    forged = [
        mint(KeyRing.shared(DEVELOPMENT_SECRET), "eve", ["admin"], lifetime_seconds=60),
        jwt.encode(claims, DEVELOPMENT_SECRET, "HS256", headers={"kid": public["kid"]}),
        jwt.encode(claims, public["x"] * 2, "HS256", headers={"kid": public["kid"]}),
        jwt.encode(claims, "", "none", headers={"kid": public["kid"]}),
        mint(_ring_of(keys_path, {**new_jwk(EDDSA, 0), "kid": public["kid"]}), "eve", ["admin"], lifetime_seconds=60),
        mint(_ring_of(keys_path, new_jwk(EDDSA, 0)), "eve", ["admin"], lifetime_seconds=60),
    ]
    for token in forged:
        (await shop.with_token(token).get("/users")).problem(401, "invalid_token")
    (await admin(shop).get("/users")).ok()


async def _revoked_before(shop: Shop) -> tuple[Tokens, Tokens, Tokens]:
    """Somebody who was signed out, somebody who was deactivated, and somebody who was not."""
    signed_out, good = await sign_in(shop, await newcomer(shop)), await sign_in(shop, await newcomer(shop))
    person = await newcomer(shop)
    deactivated = await sign_in(shop, person)
    assert (await sign_out(signed_out.client)).status == 204
    (await admin(shop).post(f"/users/{person.account_id}/deactivate")).ok()
    return signed_out, deactivated, good


async def _answers(shop: Shop, status: str) -> None:
    async def says_so() -> bool:
        try:
            answer = await shop.anybody.request("GET", "/health/ready")
        except aiohttp.ClientError:
            return False
        return bool(answer.json().get("status") == status)

    await eventually_seen(f"a gateway that is {status}", says_so, within_seconds=_RECOVERS_SECONDS)


def _ring_of(beside: Path, jwk: dict[str, Any]) -> KeyRing:
    """The ring of somebody who has this key, ours or not."""
    path = beside.with_name("theirs.json")
    _put(path, [jwk])
    return KeyRing.from_file(path)


def _put(path: Path, jwks: list[dict[str, Any]]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": jwks}))
    new.replace(path)


def _kid(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


@pytest.mark.parametrize("account", DEMO_ACCOUNTS, ids=lambda account: account.role)
async def test_in_production_nobody_is_let_in_with_what_everybody_knows(shop: Shop, account: DemoAccount) -> None:
    """A database that was filled in development may still hold the people of the demo."""
    body = {"email": account.email, "name": account.name, "password": account.password, "role": account.role}
    left_over = Person((await admin(shop).post("/users", body)).ok(201)["id"], account.email, account.password)
    answer = await ask_for_tokens(shop, username=account.email, password=account.password)
    answer.problem(400, "invalid_grant")
    owner = shop.client("admin", left_over.account_id)
    passwords = {"current_password": account.password, "new_password": "what nobody knows"}
    assert (await owner.post("/me/password", passwords, wait=None)).status == 204
    await sign_in(shop, left_over._replace(password="what nobody knows"))
