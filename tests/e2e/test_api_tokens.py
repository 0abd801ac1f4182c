"""Who is asking: tokens that are not ours, no longer valid or not meant for this; and what a role may not see or do."""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
import uuid
from typing import Any

import pytest

from runtime.settings import DEVELOPMENT_SECRET
from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop

HOUR = 3600


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def signed(claims: Any, header: Any = None, *, secret: str = DEVELOPMENT_SECRET, digest: Any = hashlib.sha256) -> str:
    """A handmade JSON Web Token (RFC 7519): libraries refuse to make most of those that are tried here."""
    said = (
        f"{_part(json.dumps(header or {'alg': 'HS256', 'typ': 'JWT'}).encode())}.{_part(json.dumps(claims).encode())}"
    )
    return f"{said}.{_part(hmac.digest(secret.encode(), said.encode(), digest))}"


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a customer's valid token, with changes; None removes a claim."""
    now = int(time.time())
    good = {"iss": "tidegate", "aud": "tidegate", "sub": "ada", "roles": ["customer"], "iat": now, "exp": now + HOUR}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def with_claims_of(other: str, token: str) -> str:
    """The token with the other's claims and its own signature."""
    header, _, signature = token.split(".")
    return ".".join((header, other.split(".")[1], signature))


async def ask(shop: Shop, token: str) -> Answer:
    return await shop.with_token(token).get("/orders")


async def test_the_handmade_token_is_valid(shop: Shop) -> None:
    (await ask(shop, signed(claims()))).ok()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "abc", id="no_jwt"),
        pytest.param(lambda: "a.b.c", id="three_letters"),
        pytest.param(lambda: "." * 2, id="dots"),
        pytest.param(lambda: "ä.ö.ü", id="umlauts"),
        pytest.param(lambda: "x" * 6_000, id="long"),
        pytest.param(lambda: signed(claims())[:-1], id="cut_short"),
        pytest.param(lambda: signed(claims()) + "A", id="too_long_a_signature"),
        pytest.param(lambda: signed(claims()).rpartition(".")[0] + ".", id="no_signature"),
        pytest.param(lambda: signed(claims(), secret="another-secret-that-is-long-enough"), id="another_secret"),
        pytest.param(lambda: signed(claims(), secret=""), id="empty_secret"),
        pytest.param(lambda: signed(claims()).rpartition(".")[0] + "." + _part(bytes(32)), id="forged_signature"),
        pytest.param(lambda: with_claims_of(signed(claims(roles=["staff"])), signed(claims())), id="forged_claims"),
        pytest.param(lambda: signed(claims(), {"alg": "none"}), id="alg_none_signed"),
        pytest.param(lambda: signed(claims(), {"alg": "none"}).rpartition(".")[0] + ".", id="alg_none"),
        pytest.param(lambda: signed(claims(), {"alg": "None"}).rpartition(".")[0] + ".", id="alg_None"),
        pytest.param(lambda: signed(claims(), {"alg": "HS512"}, digest=hashlib.sha512), id="hs512"),
        pytest.param(lambda: signed(claims(), {"alg": "RS256"}), id="rs256"),
        pytest.param(lambda: signed(claims(), {"typ": "JWT"}), id="no_alg"),
        pytest.param(lambda: signed(claims(), {"alg": ["HS256"]}), id="alg_a_list"),
        pytest.param(lambda: signed(claims(), {"alg": "HS256", "crit": ["x"], "x": 1}), id="critical_extension"),
        pytest.param(lambda: signed(claims(), ["HS256"]), id="header_a_list"),
        pytest.param(lambda: signed([1, 2]), id="claims_a_list"),
        pytest.param(lambda: signed("ada"), id="claims_a_string"),
        pytest.param(lambda: signed(claims(exp=int(time.time()) - 1)), id="expired"),
        pytest.param(lambda: signed(claims(exp=0)), id="expired_in_1970"),
        pytest.param(lambda: signed(claims(exp=-(10**20))), id="expired_before_time"),
        pytest.param(lambda: signed(claims(exp=None)), id="without_exp"),
        pytest.param(lambda: signed(claims(exp="soon")), id="exp_a_word"),
        pytest.param(lambda: signed(claims(exp=[1])), id="exp_a_list"),
        pytest.param(lambda: signed(claims(exp=float("nan"))), id="exp_not_a_number"),
        pytest.param(lambda: signed(claims(exp=float("inf"))), id="exp_never"),
        pytest.param(lambda: signed(claims(iat=None)), id="without_iat"),
        pytest.param(lambda: signed(claims(iat=int(time.time()) + HOUR)), id="issued_tomorrow"),
        pytest.param(lambda: signed(claims(nbf=int(time.time()) + HOUR)), id="not_yet_valid"),
        pytest.param(lambda: signed(claims(aud=None)), id="without_audience"),
        pytest.param(lambda: signed(claims(aud="elsewhere")), id="wrong_audience"),
        pytest.param(lambda: signed(claims(aud=["elsewhere"])), id="wrong_audiences"),
        pytest.param(lambda: signed(claims(aud={"tidegate": 1})), id="audience_an_object"),
        pytest.param(lambda: signed(claims(iss=None)), id="without_issuer"),
        pytest.param(lambda: signed(claims(iss="elsewhere")), id="wrong_issuer"),
        pytest.param(lambda: signed(claims(iss=["tidegate"])), id="issuer_a_list"),
        pytest.param(lambda: signed(claims(sub=None)), id="without_subject"),
        pytest.param(lambda: signed(claims(sub="")), id="subject_empty"),
        pytest.param(lambda: signed(claims(sub="a" * 65)), id="subject_too_long"),
        pytest.param(lambda: signed(claims(sub="a\nb")), id="subject_of_two_lines"),
        pytest.param(lambda: signed(claims(sub="a\x00")), id="subject_with_a_zero"),
        pytest.param(lambda: signed(claims(sub="\u202eada")), id="subject_written_backwards"),
        pytest.param(lambda: signed(claims(sub="\ud800")), id="subject_half_a_character"),
        pytest.param(lambda: signed(claims(sub=7)), id="subject_a_number"),
        pytest.param(lambda: signed(claims(sub=["ada"])), id="subject_a_list"),
    ],
)
async def test_a_token_that_is_not_ours_or_no_longer_valid(shop: Shop, token: Any) -> None:
    answer = await ask(shop, token())
    answer.problem(401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tidegate", error="invalid_token"'


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(None, id="none"),
        pytest.param([], id="no_role"),
        pytest.param("staff", id="a_string"),
        pytest.param({"staff": True}, id="an_object"),
        pytest.param(7, id="a_number"),
        pytest.param(["root"], id="unknown"),
        pytest.param(["STAFF"], id="upper_case"),
        pytest.param([["staff"]], id="a_list_in_a_list"),
        pytest.param([{"name": "staff"}], id="objects"),
        pytest.param([None, 1, True], id="no_strings"),
    ],
)
async def test_a_token_without_a_role_here(shop: Shop, roles: Any) -> None:
    (await ask(shop, signed(claims(roles=roles)))).problem(403, "forbidden")


@pytest.mark.parametrize("roles", [["customer", "root"], ["customer", {"name": "staff"}], ["customer", "customer"]])
async def test_a_known_role_counts_beside_unknown_ones(shop: Shop, roles: Any) -> None:
    (await ask(shop, signed(claims(roles=roles)))).ok()
    (await shop.with_token(signed(claims(roles=roles))).get("/events")).problem(403, "forbidden")


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer", "Token abc", "bearer-token", "Bearerabc"])
async def test_an_authorization_without_a_bearer_token(shop: Shop, authorization: str) -> None:
    answer = await shop.anybody.request("GET", f"{API}/orders", headers={"Authorization": authorization})
    answer.problem(401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tidegate"'


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
async def test_the_scheme_s_case_does_not_matter(shop: Shop, scheme: str) -> None:
    headers = {"Authorization": scheme + signed(claims())}
    (await shop.anybody.request("GET", f"{API}/orders", headers=headers)).ok()


async def test_a_valid_token_is_refused_when_it_expires(shop: Shop) -> None:
    """The gateways remember verified tokens, but not beyond their expiry."""
    expires_at = math.ceil(time.time()) + 1
    token = signed(claims(exp=expires_at))
    for answer in await asyncio.gather(*(ask(shop, token) for _ in range(10))):
        answer.ok()
    await asyncio.sleep(expires_at - time.time())
    for answer in await asyncio.gather(*(ask(shop, token) for _ in range(10))):
        answer.problem(401, "invalid_token")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/inventory/A/receipts"),
        ("POST", "/inventory/A/adjustments"),
        ("GET", "/events"),
        ("GET", "/dead-letters"),
    ],
)
async def test_what_staff_may_do_is_forbidden_to_customers(shop: Shop, method: str, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"quantity":1,"change":1,"reason":"x"}'
    answer = await shop.customer().request(method, API + path, data=body, headers=headers)
    answer.problem(403, "forbidden")


@pytest.fixture
def owner(shop: Shop) -> Client:
    return shop.customer()


async def test_another_customer_s_order_is_not_found(shop: Shop, owner: Client) -> None:
    sku = await shop.product(on_hand=5)
    order = await owner.placed({sku: 2})
    stranger = shop.customer()

    (await stranger.get(f"/orders/{order['id']}")).problem(404, "order_not_found")
    (await stranger.cancel(order["id"])).problem(404, "order_not_found")
    assert (await stranger.get("/orders")).ok()["items"] == []

    assert (await owner.get(f"/orders/{order['id']}")).ok() == order
    assert await shop.staff.inventory(sku) == (5, 2, 3)


async def test_another_customer_s_order_looks_like_an_unknown_one(shop: Shop, owner: Client) -> None:
    sku = await shop.product(on_hand=1)
    theirs = (await owner.placed({sku: 1}))["id"]
    nobodys = str(uuid.uuid4())
    stranger = shop.customer()
    for ask_for in (lambda order_id: stranger.get(f"/orders/{order_id}"), stranger.cancel):
        seen = [(await ask_for(order_id)).json() for order_id in (theirs, nobodys)]
        for problem, order_id in zip(seen, (theirs, nobodys), strict=True):
            assert problem.pop("command_id", "") != order_id
            assert problem.pop("order_id", order_id) == order_id
            problem.pop("seq", None)  # each refusal is its own event
        assert seen[0] == seen[1]


async def test_staff_see_and_cancel_any_order(shop: Shop, owner: Client) -> None:
    sku = await shop.product(on_hand=1)
    order = await owner.placed({sku: 1})
    assert (await shop.staff.get(f"/orders/{order['id']}")).ok() == order
    assert (await shop.staff.cancel(order["id"])).ok()["status"] == "cancelled"
    assert (await owner.get(f"/orders/{order['id']}")).ok()["customer_id"] == owner.principal


@pytest.mark.parametrize("subject", ["Ada Lovelace", "O'Neill:{0}", "a/b\\c%20", "ада", "愛", "a" * 64, '"', "🌊"])
async def test_a_principal_may_be_called_anything_printable(shop: Shop, subject: str) -> None:
    sku = await shop.product(on_hand=1)
    customer = shop.client("customer", subject)
    order = (await customer.place({sku: 1}, key="first")).ok(201)
    assert order["customer_id"] == subject
    assert [item["id"] for item in (await customer.get("/orders")).ok()["items"]] == [order["id"]]
