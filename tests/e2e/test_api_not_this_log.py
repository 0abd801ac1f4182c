"""A client that has seen more than the log holds is told so at once, on every endpoint, rather than left waiting for a
log that may never get that far; and a client that names the log it has seen is told if that is another one.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.api import API
from tests.e2e.feed import Feeds, contract_of, last_seq, log_identity
from tests.e2e.shop import Shop
from tests.system import eventually_seen
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
    """As a browser reconnects: it knows nothing but the id of the last event."""
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
    """The Python client raises it, or yields an event."""
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


async def test_a_seq_of_another_log(shop: Shop, door: Door) -> None:
    await shop.product(on_hand=1)
    identity = await log_identity(shop.database)
    assert await door(shop, 1, str(uuid.uuid4())) == "another_log"
    assert await door(shop, 1, identity) == "subscribed"
    assert await door(shop, FAR, identity) == "ahead_of_log"


@pytest.mark.parametrize("path", ["/ws", "/ws/notifications"])
async def test_an_invalid_log_name(shop: Shop, path: str) -> None:
    token = shop.system.token("staff")
    async with shop.http.ws_connect(
        shop.system.url + path, params={"log": "x"}, headers={"Authorization": f"Bearer {token}"}
    ) as socket:
        frame = await socket.receive(5)
        assert (frame.type, frame.data) == (aiohttp.WSMsgType.CLOSE, 4400)


async def test_before_where_the_log_begins(shop: Shop, door: Door) -> None:
    """As after `tidegate archive`."""
    await shop.product(on_hand=1)
    identity = await log_identity(shop.database)
    first_seq = await last_seq(shop.database)
    await shop.database.execute("UPDATE log_start SET first_seq = $1", first_seq)
    try:
        assert await door(shop, first_seq - 2, identity) == "archived"
        assert await door(shop, first_seq - 1, identity) == "subscribed"
        answer = await shop.staff.get("/events", after=0)
        assert answer.problem(410, "archived")["first_seq"] == first_seq
    finally:
        await shop.database.execute("UPDATE log_start SET first_seq = 1")


async def test_what_is_archived_cannot_be_asked_for(shop: Shop) -> None:
    """A command from before what is left, and deliveries of events from there."""
    await shop.product(on_hand=1)
    newest = await last_seq(shop.database)
    command = await shop.database.fetchval("SELECT id FROM commands ORDER BY seq DESC LIMIT 1")
    url = "https://receiver.example/archived"
    webhook = (await shop.staff.post("/webhooks", {"url": url, "event_types": ["job.*"]})).ok(201)
    await shop.database.execute(
        "UPDATE log_start SET first_seq = $1, commands_since = $2", newest, uuid.UUID(int=command.int + 1)
    )
    try:
        assert (await shop.staff.get(f"/commands/{command}")).ok()["id"] == str(command)  # it is left all the same
        (await shop.staff.get(f"/commands/{uuid.UUID(int=command.int - 1)}")).problem(410, "archived")
        (await shop.staff.get(f"/commands/{uuid.UUID(int=command.int + 2)}")).problem(404, "not_found")

        async def refused() -> bool:
            answer = await shop.staff.post(f"/webhooks/{webhook['id']}/redeliver", {"from_seq": newest - 1})
            return answer.status == 410 and answer.problem(410, "archived")["first_seq"] == newest

        await eventually_seen("the gateway knows where the log begins", refused, within_seconds=10)
    finally:
        await shop.database.execute("UPDATE log_start SET first_seq = 1, commands_since = $1", uuid.UUID(int=0))
