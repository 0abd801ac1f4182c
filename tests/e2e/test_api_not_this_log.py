"""Whoever has seen what is no part of the log is told so at once, on every door, and not left to wait for a log that
may never come so far; and whoever hands back which log they have seen is told that it is another.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.api import API
from tests.e2e.feed import Feeds, contract_of, last_seq, log_identity
from tests.e2e.shop import Shop
from tidegate.client import NOT_THIS_LOG, Feed, FeedRefused

FAR: Final = 10**15
Door = Callable[[Shop, "int", "str | None"], Awaitable[str]]


def _log(identity: str | None) -> dict[str, str]:
    return {} if identity is None else {"log": identity}


async def _subscribe(shop: Shop, after: int, identity: str | None) -> str:
    """The code with which a subscription is refused, if it is."""
    feeds = Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))
    async with feeds.staff() as socket:
        return _code(await socket.ask("subscribe", topics=["log"], after=after, **_log(identity)))


async def _topics(shop: Shop, after: int, identity: str | None) -> str:
    feeds = Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))
    async with feeds.staff(topics="log", after=after, **_log(identity)) as socket:
        told = await socket.more()
        assert told is not None
        return _code(told)


def _code(told: dict[str, Any]) -> str:
    if told["type"] == "subscribed":
        assert uuid.UUID(told["log"])
        return "subscribed"
    assert uuid.UUID(told["log"])
    assert told["seq"] >= 0
    return str(told["code"])


async def _notifications(shop: Shop, after: int, identity: str | None) -> str:
    token = shop.system.token("customer", "not-this-log")
    query: dict[str, str | int] = {"after": after, **_log(identity)}
    url = f"{shop.system.url}/ws/notifications"
    async with shop.http.ws_connect(url, params=query, headers={"Authorization": f"Bearer {token}"}) as socket:
        try:
            frame = await socket.receive(0.5)
        except TimeoutError:
            return "subscribed"
        assert frame.type is aiohttp.WSMsgType.CLOSE
        assert frame.data == NOT_THIS_LOG
        return str(frame.extra)


async def _stream(shop: Shop, after: int, identity: str | None) -> str:
    return await _streamed(shop, {"topics": "log", "after": after, **_log(identity)}, {})


async def _last_event_id(shop: Shop, after: int, identity: str | None) -> str:
    """As a browser comes back: it knows nothing but the id of the last event."""
    place = str(after) if identity is None else f"{after}@{identity}"
    return await _streamed(shop, {"topics": "log"}, {"Last-Event-ID": place})


async def _streamed(shop: Shop, query: dict[str, str | int], headers: dict[str, str]) -> str:
    headers = {"Authorization": f"Bearer {shop.system.token('staff')}", **headers}
    async with shop.http.get(f"{shop.system.url}{API}/events/stream", params=query, headers=headers) as response:
        if response.status == 200:
            return "subscribed"
        assert response.status == 410
        return str((await response.json())["code"])


async def _page(shop: Shop, after: int, identity: str | None) -> str:
    answer = await shop.staff.get("/events", after=after, **_log(identity))
    if answer.status == 200:
        assert uuid.UUID(answer.ok()["log"])
        return "subscribed"
    assert answer.status == 410
    return str(answer.json()["code"])


async def _client(shop: Shop, after: int, identity: str | None) -> str:
    """The feed for Python programs raises it; else it would be handed something."""
    sku = await shop.product()
    feed = Feed(shop.http, shop.system.url, shop.system.token("staff"), ["log"], after=after, log=identity)
    events = aiter(feed)
    try:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        await anext(events)
    except FeedRefused as refused:
        return refused.code
    finally:
        await events.aclose()
    assert feed.log == await log_identity(shop.database)
    return "subscribed"


DOORS: Final[dict[str, Door]] = {
    "subscribe on /ws": _subscribe,
    "topics in the address of /ws": _topics,
    "/ws/notifications": _notifications,
    "the event stream's after": _stream,
    "the event stream's Last-Event-ID": _last_event_id,
    "GET /events": _page,
    "the client for Python": _client,
}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


async def test_beyond_the_newest_seq(shop: Shop, door: Door) -> None:
    await shop.product(on_hand=1)
    last = await last_seq(shop.database)
    assert await door(shop, FAR, None) == "ahead_of_log"
    assert await door(shop, last, None) == "subscribed"


async def test_a_seq_that_the_log_has_but_of_another_log(shop: Shop, door: Door) -> None:
    await shop.product(on_hand=1)
    identity = await log_identity(shop.database)
    assert await door(shop, 1, str(uuid.uuid4())) == "another_log"
    assert await door(shop, 1, identity) == "subscribed"
    assert await door(shop, FAR, identity) == "ahead_of_log"


@pytest.mark.parametrize("path", ["/ws", "/ws/notifications"])
async def test_a_log_that_is_none(shop: Shop, path: str) -> None:
    token = shop.system.token("staff")
    async with shop.http.ws_connect(
        shop.system.url + path, params={"log": "x"}, headers={"Authorization": f"Bearer {token}"}
    ) as socket:
        frame = await socket.receive(5)
        assert (frame.type, frame.data) == (aiohttp.WSMsgType.CLOSE, 4400)
