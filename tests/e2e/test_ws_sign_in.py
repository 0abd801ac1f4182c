"""Who may open a WebSocket, for how long, and how it is closed when that right ends."""

import time
from collections.abc import Callable
from typing import Final

import pytest

from runtime.settings import DEVELOPMENT_SECRET
from runtime.signing_keys import KeyRing
from runtime.tokens import mint
from tests import pace
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.feed import Feeds, Socket, contract_of, last_seq, log, visible
from tests.e2e.people import admin, newcomer, refresh, sign_in, sign_out
from tests.e2e.shop import Shop

AUTHENTICATE_SECONDS: Final = float(SHOP_SETTINGS["TIDEGATE_SOCKET_AUTHENTICATE_SECONDS"])
ENDS_WITHIN_SECONDS: Final = 1.0
UNKNOWN_KEY: Final = f"tgk_{'0' * 32}_{'a' * 43}"


@pytest.fixture
async def feeds(shop: Shop) -> Feeds:
    return Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))


def short_token(seconds: int, subject: str = "short", role: str = "staff", scope: str | None = None) -> str:
    keys = KeyRing.shared(DEVELOPMENT_SECRET)
    return mint(keys, subject, [role], lifetime_seconds=seconds, more={} if scope is None else {"scope": scope})


async def ends(socket: Socket) -> tuple[int, str | None]:
    """Code and reason of a socket that must be closed at once."""
    async with pace.timeout(ENDS_WITHIN_SECONDS):
        return await socket.closed()


@pytest.mark.parametrize("where", ["header", "query", "message"])
@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("abc", 4401, "invalid_token"),
        ("a.b.c", 4401, "invalid_token"),
        (UNKNOWN_KEY, 4401, "invalid_token"),
        ("expired", 4401, "invalid_token"),
        ("nobody", 4403, "forbidden"),
    ],
)
async def test_invalid_tokens(shop: Shop, feeds: Feeds, where: str, token: str, code: int, reason: str) -> None:
    made = {"nobody": shop.system.token("nobody"), "expired": short_token(-10)}
    token = made.get(token, token)
    query = {"token": token} if where == "query" else {}
    async with feeds.opened(token if where == "header" else None, **query) as socket:
        if where == "message":
            await socket.say("authenticate", token=token)
        assert await ends(socket) == (code, reason)


async def test_a_message_before_authentication_closes_the_socket(feeds: Feeds) -> None:
    for kind, fields in (("subscribe", {"topics": ["catalogue"]}), ("ping", {})):
        async with feeds.opened() as socket:
            await socket.say(kind, **fields)
            assert await ends(socket) == (4401, "unauthenticated")


async def test_a_client_that_never_authenticates_is_not_waited_for(feeds: Feeds) -> None:
    begun = time.monotonic()
    async with feeds.opened(topics="catalogue") as socket:
        assert await socket.closed() == (4401, "unauthenticated")
    assert pace.is_within(time.monotonic() - begun - AUTHENTICATE_SECONDS, ENDS_WITHIN_SECONDS)


async def test_notifications_need_their_token_at_once(feeds: Feeds) -> None:
    async with feeds.opened(None, "/ws/notifications") as socket:
        assert await ends(socket) == (4401, "unauthenticated")


async def test_a_token_that_expires_closes_the_socket(shop: Shop, feeds: Feeds) -> None:
    before = await last_seq(shop.database)
    async with (
        feeds.opened(short_token(2), topics="log", after=before) as socket,
        feeds.opened(short_token(2, "other", "customer"), "/ws/notifications") as other,
    ):
        await shop.product(on_hand=1)
        await socket.up_to(before + 1)
        assert await socket.closed() == (4401, "invalid_token")
        assert await ends(other) == (4401, "invalid_token")
    assert socket.events["log"][0]["seq"] == before + 1


async def test_a_client_that_authenticates_again_in_time_stays(shop: Shop, feeds: Feeds) -> None:
    before = await last_seq(shop.database)
    async with feeds.opened(short_token(2)) as socket:
        await socket.subscribe("log", after=before)
        expires = time.time() + 2
        answer = await socket.ask("authenticate", token=short_token(60))
        assert answer["expires_at"] > expires + 50
        while time.time() < expires + 0.5:
            await socket.next("heartbeat")
        await shop.product(on_hand=1)
        await socket.up_to(last := await last_seq(shop.database))
    assert socket.events["s"] == await log(shop.database, before, last)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        pytest.param(lambda: short_token(60, "somebody else"), "forbidden", id="of_somebody_else"),
        pytest.param(lambda: short_token(60, role="customer"), "forbidden", id="of_a_lesser_role"),
        pytest.param(lambda: short_token(60, scope="orders:read"), "forbidden", id="that_allows_less"),
        pytest.param(lambda: "abc", "invalid_token", id="that_is_none"),
    ],
)
async def test_an_unacceptable_new_token_changes_nothing(feeds: Feeds, token: Callable[[], str], code: str) -> None:
    async with feeds.opened(short_token(60)) as socket:
        await socket.subscribe("log")
        answer = await socket.ask("authenticate", token=token())
        assert (answer["type"], answer["code"]) == ("error", code)
        await socket.subscribe("orders", name="orders")


async def test_a_sign_out_closes_the_socket_and_no_others(shop: Shop, feeds: Feeds) -> None:
    person = await newcomer(shop)
    here, there = await sign_in(shop, person), await sign_in(shop, person)
    before = await last_seq(shop.database)
    async with (
        feeds.opened(here.access_token) as socket,
        feeds.opened(here.access_token, "/ws/notifications") as notifications,
        feeds.opened(there.access_token) as stays,
    ):
        await socket.subscribe("me", after=before)
        await stays.subscribe("me", after=before)
        assert (await sign_out(here.client)).status == 204
        assert await ends(socket) == (4401, "invalid_token")
        told: list[str] = []
        while "session.closed" not in told:
            told += [event["type"] for event in await notifications.raw.receive_json(timeout=pace.seconds(5))]
        # The feed may still have been delivering the sign-ins when the socket opened.
        assert set(told[:-1]) <= {"session.opened"}
        assert told[-1] == "session.closed"
        assert await ends(notifications) == (4401, "invalid_token")
        again = await refresh(shop, there)
        await stays.ask("authenticate", token=again.access_token)
        await stays.up_to(last := await last_seq(shop.database))
    assert stays.events["s"] == visible(await log(shop.database, before, last), "me", to=person.account_id)


@pytest.mark.parametrize("what", ["deactivated", "another_role"])
async def test_a_change_of_an_account_closes_its_sockets(shop: Shop, feeds: Feeds, what: str) -> None:
    person = await newcomer(shop, "staff")
    tokens = await sign_in(shop, person)
    async with feeds.opened(tokens.access_token) as socket, feeds.opened(tokens.access_token) as other:
        await socket.subscribe("log")
        if what == "deactivated":
            (await admin(shop).post(f"/users/{person.account_id}/deactivate")).ok()
        else:
            body = b'{"role":"customer"}'
            headers = {"Content-Type": "application/json", "Prefer": "wait=10"}
            changed = await admin(shop).request(
                "PATCH", f"/api/v1/users/{person.account_id}", data=body, headers=headers
            )
            assert changed.status == 200
        assert await ends(socket) == (4401, "invalid_token")
        assert await ends(other) == (4401, "invalid_token")
        sku = await shop.product(on_hand=1)
    assert not any(event["subject"] == sku for event in socket.events["s"]), "nothing arrived from after the end"


async def test_an_api_key_opens_a_socket_until_it_is_revoked(shop: Shop, feeds: Feeds) -> None:
    made = (
        await admin(shop).post("/keys", {"name": "screen", "role": "staff", "scopes": ["events:read", "orders:read"]})
    ).ok(201)
    before = await last_seq(shop.database)
    async with feeds.opened(made["key"]) as socket, feeds.opened() as first_message:
        assert "expires_at" not in await first_message.ask("authenticate", token=made["key"])
        await socket.subscribe("orders", after=before)
        sku = await shop.product(on_hand=1)
        await shop.customer().placed({sku: 1})
        await socket.up_to(last := await last_seq(shop.database))
        (await admin(shop).post(f"/keys/{made['id']}/revoke")).ok()
        assert await ends(socket) == (4401, "invalid_token")
        assert await ends(first_message) == (4401, "invalid_token")
    assert socket.events["s"] == visible(await log(shop.database, before, last), "orders")


async def test_a_missing_scope_is_missing_here_too(feeds: Feeds) -> None:
    async with feeds.opened(short_token(60, scope="inventory:read")) as socket:
        assert await socket.refused("log") == "forbidden"
        assert await socket.refused("me") == "forbidden"
        await socket.subscribe("catalogue")


async def test_tokens_are_never_logged(shop: Shop, feeds: Feeds) -> None:
    token = shop.system.token("staff", "in the query")
    async with feeds.opened(token=token) as socket:
        await socket.ask("ping")
    assert token.encode() not in shop.system.log("gateway").read_bytes()
