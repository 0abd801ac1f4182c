"""The Python client of the feed, against a scripted gateway: it resumes after the last event it has seen, and only what
would be refused again ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests import pace
from tidegate import client
from tidegate.client import Feed, FeedRefused

Play = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


class Gateway:
    """Plays one scene for each connection, in order, and the last one for all further connections."""

    def __init__(self, *scenes: Play | int) -> None:
        self.scenes = list(scenes)
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        scene = self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]
        self.tokens.append(request.headers["Authorization"])
        if isinstance(scene, int):
            return web.Response(status=scene)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.asked.append(await socket.receive_json())
        await scene(socket, self.asked[-1])
        return socket


class Player:
    """Starts gateways."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def __call__(self, *scenes: Play | int) -> Gateway:
        gateway = Gateway(*scenes)
        app = web.Application()
        app.router.add_get("/ws", gateway.serve)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return gateway

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


@pytest.fixture
async def play(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Player]:
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(client, "LONGEST_PAUSE_SECONDS", 0.01)
    player = Player()
    yield player
    await player.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def event(seq: int) -> dict[str, Any]:
    return {"seq": seq, "type": "stock.received"}


def subscribed(after: int) -> dict[str, Any]:
    return {"type": "subscribed", "subscription": "feed", "topics": ["log"], "after": after}


def tells(*messages: dict[str, Any], code: int = 1000, reason: str = "", cut: bool = False) -> Play:
    """A scene: sends all this, then closes, or leaves without closing."""

    async def scene(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        for message in messages:
            await socket.send_json(message)
        if cut:
            transport = socket._req.transport if socket._req else None
            assert transport is not None
            transport.abort()
        else:
            await socket.close(code=code, message=reason.encode())

    return scene


def events(*seqs: int) -> dict[str, Any]:
    return {"type": "events", "subscription": "feed", "seq": seqs[-1], "events": [event(seq) for seq in seqs]}


async def first(feed: Feed, count: int) -> list[int]:
    """The seqs of the first events."""
    seqs: list[int] = []
    async with pace.timeout(5):
        async for said in feed:
            seqs.append(said["seq"])
            if len(seqs) == count:
                break
    return seqs


@pytest.mark.parametrize(
    "end",
    [{"cut": True}, {"code": 1012}, {"code": 1011}, {"code": 1013}, {"code": 4008}, {"code": 4429}, {"code": 1000}],
)
async def test_it_resumes_after_the_last_event_seen(play: Player, http: aiohttp.ClientSession, end: Any) -> None:
    gateway = await play(
        tells(subscribed(7), events(8, 9), **end), tells(subscribed(9), **end), tells(subscribed(9), events(10, 12))
    )
    states: list[str] = []
    feed = Feed(http, gateway.url, "t", ["log"], on_state=states.append)
    assert await first(feed, 4) == [8, 9, 10, 12]
    assert [asked["after"] for asked in gateway.asked[:3]] == ["now", 9, 9]
    assert gateway.asked[0] == {"type": "subscribe", "topics": ["log"], "after": "now", "subscription": "feed"}
    assert states[:5] == ["connected", "disconnected", "connected", "disconnected", "connected"]
    assert feed.connections == 3


async def test_from_a_heartbeat_on_it_need_not_resume_from_before(play: Player, http: aiohttp.ClientSession) -> None:
    gateway = await play(
        tells(subscribed(7), {"type": "heartbeat", "seq": 50}, cut=True), tells(subscribed(50), events(51))
    )
    assert await first(Feed(http, gateway.url, "t", ["me"], after=7), 1) == [51]
    assert [asked["after"] for asked in gateway.asked] == [7, 50]


async def test_a_feed_from_now_begins_only_once(play: Player, http: aiohttp.ClientSession) -> None:
    """If disconnected before its first event, it resumes where it began, so that nothing in between is lost."""
    gateway = await play(tells(subscribed(7), cut=True), tells(subscribed(7), events(8)))
    assert await first(Feed(http, gateway.url, "t", ["log"]), 1) == [8]
    assert [asked["after"] for asked in gateway.asked] == ["now", 7]


@pytest.mark.parametrize("busy", [503, 502, 429])
async def test_a_busy_or_unavailable_gateway_is_retried(play: Player, http: aiohttp.ClientSession, busy: int) -> None:
    gateway = await play(busy, busy, tells(subscribed(0), events(1)))
    assert await first(Feed(http, gateway.url, "t", ["log"]), 1) == [1]


async def test_a_transient_error_is_not_a_refusal(play: Player, http: aiohttp.ClientSession) -> None:
    passing = {"type": "error", "code": "database_unavailable", "detail": "Try again."}
    gateway = await play(tells(passing), tells(subscribed(0), events(1)))
    assert await first(Feed(http, gateway.url, "t", ["orders/1"]), 1) == [1]


@pytest.mark.parametrize(
    ("scene", "code"),
    [
        (404, "not_served"),
        (403, "not_served"),
        (tells({"type": "error", "code": "forbidden", "detail": "Not yours."}), "forbidden"),
        (tells({"type": "error", "code": "unknown_topic", "detail": "None."}), "unknown_topic"),
        (tells(code=4401, reason="invalid_token"), "unauthenticated"),
        (tells(code=4403, reason="forbidden"), "forbidden"),
        (tells(code=4400, reason="what?"), "bad_request"),
    ],
)
async def test_a_permanent_refusal_ends_it(
    play: Player, http: aiohttp.ClientSession, scene: Play | int, code: str
) -> None:
    gateway = await play(scene)
    with pytest.raises(FeedRefused) as refused:
        await first(Feed(http, gateway.url, "t", ["log"]), 1)
    assert refused.value.code == code
    assert len(gateway.tokens) == 1


async def test_a_feed_outlives_its_tokens(play: Player, http: aiohttp.ClientSession) -> None:
    numbers = iter(range(10))

    async def token() -> str:
        return f"token-{next(numbers)}"

    expired = tells(subscribed(0), events(1), code=4401, reason="invalid_token")
    gateway = await play(expired, tells(subscribed(1), events(2)))
    assert await first(Feed(http, gateway.url, token, ["log"]), 2) == [1, 2]
    assert gateway.tokens == ["Bearer token-0", "Bearer token-1"]


async def test_a_silent_connection_is_dropped(
    play: Player, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.05)

    async def silence(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.receive()

    gateway = await play(silence, tells(subscribed(0), events(1)))
    assert await first(Feed(http, gateway.url, "t", ["log"]), 1) == [1]


async def test_stats_go_where_they_are_wanted(play: Player, http: aiohttp.ClientSession) -> None:
    stats = {"type": "stats", "subscription": "feed", "stats": {"backlog": 3}}
    gateway = await play(tells(subscribed(0), stats, events(1)))
    told: list[dict[str, Any]] = []
    await first(Feed(http, gateway.url, "t", ["log", "stats"], on_stats=told.append), 1)
    assert told == [{"backlog": 3}]


async def test_ending_the_iteration_closes_the_socket(play: Player, http: aiohttp.ClientSession) -> None:
    closed = asyncio.Event()

    async def endless(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        await socket.send_json(subscribed(0))
        await socket.send_json(events(1))
        await socket.receive()
        closed.set()

    gateway = await play(endless)
    feed = aiter(Feed(http, gateway.url, "t", ["log"]))
    await anext(feed)
    await feed.aclose()
    async with pace.timeout(5):
        await closed.wait()
