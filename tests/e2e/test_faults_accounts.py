"""What was revoked stays refused by every gateway process, whatever breaks or restarts; and signing keys rotate while
gateways run.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import jwt
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from domain.accounts import CreateAccount
from domain.api_keys import CreateApiKey
from domain.ids import new_id, slot_of_id
from domain.model import Actor, Command, Personal, Secret
from domain.sessions import OpenSession
from domain.webhooks import RegisterWebhook, WebhookFields
from gateway.identity.api_keys import new_secret
from ops.cli.keys import new_jwk
from ops.demo_people import DEMO_ACCOUNTS, DemoAccount
from runtime.database import asyncpg_dsn
from runtime.entropy import random_bits
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.passwords import hash_password
from runtime.settings import DEVELOPMENT_SECRET, Settings
from runtime.signing_keys import EDDSA, RS256, KeyRing, read_jwks
from runtime.tokens import AUDIENCE, ISSUER, Refresh, mint, mint_refresh
from tests.e2e.faults import workers_stopped
from tests.e2e.people import (
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

pytestmark = pytest.mark.campaign

_RECOVERS_SECONDS: Final = 10.0
_NOTICED_SECONDS: Final = 3.0


@pytest.fixture(scope="module")
def keys_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing-keys.json"
    _put(path, [new_jwk(EDDSA, int(time.time()))])
    return path


@pytest_asyncio.fixture(scope="module")
async def shop(keys_path: Path) -> AsyncIterator[Shop]:
    """Two gateway processes in production, whose tokens are signed with key pairs; the tests here break them in
    turn."""
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
        # The listeners reconnect; what is published until then is lost.
        assert await redis.client_kill_filter(_type="pubsub") >= 2
    assert (await sign_out(tokens.client)).status == 204
    await is_refused_everywhere(tokens.client)


async def test_a_sign_out_is_heard_after_redis_was_killed(shop: Shop) -> None:
    tokens = await sign_in(shop, await newcomer(shop))
    await asyncio.to_thread(shop.system.valkey.kill)
    await is_served_everywhere(tokens.client)  # a token is checked without asking another service
    (await sign_out(tokens.client)).problem(503, "mailboxes_unavailable")
    (await ask_to_refresh(shop, tokens.refresh_token)).problem(503, "mailboxes_unavailable")
    await asyncio.to_thread(shop.system.valkey.start)

    async def is_signed_out() -> bool:
        return (await sign_out(tokens.client)).status in (204, 401)

    await eventually_seen("a sign-out", is_signed_out, within_seconds=_RECOVERS_SECONDS)
    await is_refused_everywhere(tokens.client)


async def test_a_restarted_gateway_knows_what_was_revoked(shop: Shop) -> None:
    signed_out, deactivated, good = await _revoked_before(shop)
    await asyncio.to_thread(shop.system.kill_process, "gateway")
    shop.system.start_process("gateway")
    await _answers(shop, "ready")
    await is_served_everywhere(good.client)
    await is_refused_everywhere(signed_out.client)
    await is_refused_everywhere(deactivated.client)


async def test_a_gateway_started_without_postgres_learns_it_when_postgres_is_back(shop: Shop) -> None:
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


async def test_without_workers_nobody_is_signed_in_and_nobody_waits_forever(shop: Shop) -> None:
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
    after = await refresh(shop, before)  # signed with the old key, and still valid
    for tokens in (before, after):
        await is_served_everywhere(tokens.client)

    public = (await shop.anybody.request("GET", "/.well-known/jwks.json")).json()
    assert [key["alg"] for key in public["keys"]] == [RS256, EDDSA]
    for tokens in (before, after):
        key = jwt.PyJWKSet.from_dict(public)[_kid(tokens.access_token)]
        claims = jwt.decode(tokens.access_token, key, audience=AUDIENCE, issuer=ISSUER)
        assert claims["sub"] == person.account_id


async def test_tokens_of_a_removed_key_are_refused(shop: Shop, keys_path: Path) -> None:
    stolen = read_jwks(keys_path)[0]
    tokens = await sign_in(shop, await newcomer(shop))
    await is_served_everywhere(tokens.client)
    _put(keys_path, [new_jwk(EDDSA, int(time.time()))])

    async def is_refused() -> bool:
        answers = await asyncio.gather(*(tokens.client.get("/me") for _ in range(12)))
        return all(answer.status == 401 for answer in answers)

    refresh_token = tokens.refresh_token

    async def is_not_refreshed() -> bool:
        """One gateway may answer all of many concurrent requests; the other then has its own time to notice."""
        nonlocal refresh_token
        answer = await ask_to_refresh(shop, refresh_token)
        if answer.status == 200:
            refresh_token = answer.json()["refresh_token"]
            return False
        return bool(answer.problem(401, "invalid_refresh_token"))

    forged = shop.with_token(mint(_ring_of(keys_path, stolen), "eve", ["admin"], lifetime_seconds=60))

    async def is_found_out() -> bool:
        answers = await asyncio.gather(*(forged.get("/users") for _ in range(12)))
        return all(answer.status == 401 and answer.problem(401, "invalid_token") for answer in answers)

    await eventually_seen("a refusal by every gateway", is_refused, within_seconds=_NOTICED_SECONDS)
    await eventually_seen("refreshes refused", is_not_refreshed, within_seconds=_NOTICED_SECONDS)
    await eventually_seen("a forged token refused", is_found_out, within_seconds=_NOTICED_SECONDS)


async def test_no_other_key_and_no_other_algorithm(shop: Shop, keys_path: Path) -> None:
    """A forged `kid`, the development secret, and HS256 with the public key as its secret."""
    own = read_jwks(keys_path)[0]
    public: dict[str, str] = {}

    async def is_published() -> bool:
        """Gateways check the file once a second."""
        public.update((await shop.anybody.request("GET", "/.well-known/jwks.json")).json()["keys"][0])
        return bool(public["kid"] == own["kid"])

    await eventually_seen("the key of today published", is_published, within_seconds=_NOTICED_SECONDS)
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
    """A person who was signed out, one who was deactivated, and one who is still signed in."""
    signed_out, good = await sign_in(shop, await newcomer(shop)), await sign_in(shop, await newcomer(shop))
    person = await newcomer(shop)
    deactivated = await sign_in(shop, person)
    assert (await sign_out(signed_out.client)).status == 204
    (await admin(shop).post(f"/users/{person.account_id}/deactivate")).ok()
    return signed_out, deactivated, good


async def _answers(shop: Shop, status: str) -> None:
    async def says_so() -> bool:
        return await shop.readiness() == status

    await eventually_seen(f"a gateway that is {status}", says_so, within_seconds=_RECOVERS_SECONDS)


def _ring_of(beside: Path, jwk: dict[str, Any]) -> KeyRing:
    """A key ring with this key, whether it is ours or not."""
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
async def test_production_refuses_sign_ins_to_development_accounts(shop: Shop, account: DemoAccount) -> None:
    """A well-known password stays the same password with a fullwidth letter in it, and somebody who knew the first one
    may have set the next."""
    await _have_applied(shop, [_demo_account(account)])
    email, known, other = account.email, account.password, "what nobody knows"
    fullwidth = known.replace("d", "\uff44")
    for password in (known, fullwidth):
        (await ask_for_tokens(shop, username=email, password=password)).problem(400, "invalid_grant")
    (found,) = (await admin(shop).get(f"/users?email={email}")).ok()["items"]
    passwords = {"current_password": fullwidth, "new_password": other}
    owner = shop.client("admin", found["id"])
    assert (await owner.post("/me/password", passwords, wait=None)).status == 204
    (await ask_for_tokens(shop, username=email, password=other)).problem(400, "invalid_grant")


async def test_production_refuses_what_was_made_in_development_and_says_so_when_it_starts(shop: Shop) -> None:
    person = await newcomer(shop)
    account_id = UUID(person.account_id)
    key_id, hook_id = new_id(1, 1, random_bits()), new_id(1, 1, random_bits())
    session_id = new_id(1, slot_of_id(account_id), random_bits())
    key = new_secret(key_id)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await _have_applied(
        shop,
        [
            CreateApiKey(key_id, "of development", "staff", ("orders:read",), Secret(key.secret_hash)),
            RegisterWebhook(
                hook_id,
                WebhookFields("http://127.0.0.1:9/", ("product.*",)),
                Secret("whsec_AAAA"),
                ("webhooks:write", "catalogue:read"),
            ),
            OpenSession(session_id, account_id, 0, ("orders:read",), tomorrow),
        ],
    )
    (await shop.with_token(key.key).get("/orders")).problem(401, "invalid_token")
    # Signed with production's own keys: it is the session that is refused.
    keys = KeyRing.from_file(Path(shop.system.environment["TIDEGATE_SIGNING_KEYS"]))
    (await ask_to_refresh(shop, mint_refresh(keys, Refresh(session_id, account_id, 0), tomorrow))).problem(
        401, "invalid_refresh_token"
    )

    await asyncio.to_thread(shop.system.kill_process, "gateway")
    shop.system.start_process("gateway")
    await _answers(shop, "ready")

    async def is_said() -> bool:
        said = shop.system.log("gateway").read_text()
        return bool(
            re.search(r"made in development, and refused in production: .*1 API keys, 1 sessions, 1 webhook se", said)
        )

    await eventually_seen("what production refuses", is_said, within_seconds=_RECOVERS_SECONDS)


def _demo_account(account: DemoAccount) -> CreateAccount:
    password_hash = Secret(hash_password(account.password))
    account_id = new_id(1, 1, random_bits())
    return CreateAccount(account_id, Personal(account.email), Personal(account.name), account.role, password_hash)


async def _have_applied(shop: Shop, commands: Sequence[Command]) -> None:
    """Has the commands applied as development processes on the same servers would."""
    developing = Settings.model_validate({"REDIS_URL": shop.system.valkey.url, "mode": "development"})
    async with (
        Sender(developing) as sender,
        asyncpg.create_pool(asyncpg_dsn(shop.system.postgres.url), min_size=0, max_size=1) as pool,
    ):
        actor = Actor.in_role("developer", "staff")
        posted = [await sender.send(command, actor, patience_seconds=_RECOVERS_SECONDS) for command in commands]
        outcomes = await wait_for_outcomes(pool, posted)
    assert {outcome.status for outcome in outcomes.values()} == {"applied"}, outcomes
