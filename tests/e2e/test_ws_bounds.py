"""The bounds of a WebSocket, and the answer when one is reached; and that garbage is answered and counted. For slow
readers see `test_faults_feed.py`."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import pytest

from gateway.realtime.messages import SUBSCRIPTIONS_MAX, TOPICS_MAX
from gateway.realtime.session import MISTAKES_MAX
from gateway.server.websocket import FRAMES_BURST
from runtime.settings import Settings
from tests import pace
from tests.e2e.api import WAIT_SECONDS
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.feed import Feeds, Socket, contract_of, last_seq, log
from tests.e2e.shop import Shop
from tests.e2e.wire import BINARY, CLOSE, CONTINUED, PING, PONG, TEXT, Wire, frame
from tests.system import eventually_seen

GATEWAYS: Final = int(SHOP_SETTINGS["TIDEGATE_GATEWAY_PROCESSES"])
SOCKETS_MAX: Final = GATEWAYS * int(SHOP_SETTINGS["TIDEGATE_SOCKET_MAX_CONNECTIONS"])
SOCKETS_MAX_OF_ONE: Final = GATEWAYS * int(SHOP_SETTINGS["TIDEGATE_SOCKET_MAX_PER_PRINCIPAL"])
MESSAGES_BURST: Final[int] = Settings.model_fields["socket_messages_burst"].default

# The bound of `python -m gateway` for a client's message.
FRAME_MAX_BYTES: Final = 65_536

# The gateway has TIDEGATE_STOP_SECONDS to finish requests; a few sockets need none of them.
STOP_MAX_SECONDS: Final = 3.0


@pytest.fixture
async def feeds(shop: Shop) -> Feeds:
    await eventually_seen("no socket of earlier tests", lambda: open_sockets(shop, 0), within_seconds=WAIT_SECONDS)
    return Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))


async def open_sockets(shop: Shop, count: int) -> bool:
    metrics = (await shop.anybody.request("GET", "/metrics")).body.decode()
    return f"\ntidegate_sockets {float(count)}\n" in metrics


@pytest.mark.parametrize("after", ["-1", "abc", "1.5", "0x10", "9" * 20, "9" * 5_000, "²", "1_000", " "])
async def test_an_invalid_seq_closes_the_socket(feeds: Feeds, after: str) -> None:
    async with feeds.staff(topics="log", after=after) as socket:
        assert await socket.closed() == (4400, "`after` is a seq")


@pytest.mark.parametrize(
    "query", [{"topics": ",".join(["log"] * (TOPICS_MAX + 1))}, {"topics": "x" * 101}, {str(n): "" for n in range(20)}]
)
async def test_a_query_that_asks_for_too_much_closes_the_socket(feeds: Feeds, query: dict[str, str]) -> None:
    async with feeds.staff(**query) as socket:
        assert (await socket.closed())[0] == 4400


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        '{"type":"subscribe"}',
        '{"type":"subscribe","topics":[]}',
        '{"type":"subscribe","topics":["log"],"after":-1}',
        '{"type":"subscribe","topics":["log"],"after":9223372036854775808}',
        '{"type":"subscribe","topics":["log"],"after":1e999}',
        '{"type":"subscribe","topics":["log"],"after":"then"}',
        '{"type":"subscribe","topics":["log"],"colour":"blue"}',
        '{"type":"subscribe","topics":["log"],"subscription":""}',
        '{"type":"events","events":[]}',
        '{"type":["ping"]}',
        "[" * FRAME_MAX_BYTES,
        '{"type":' * 8_000,
        "🌊" * 1_000,
        b"",
        b"\x00\xff" * 1_000,
    ],
)
async def test_garbage_is_answered_and_does_no_harm(shop: Shop, feeds: Feeds, garbage: str | bytes) -> None:
    before = await last_seq(shop.database)
    async with feeds.staff(topics="log", after=before) as socket:
        await (socket.raw.send_str(garbage) if isinstance(garbage, str) else socket.raw.send_bytes(garbage))
        error = await socket.next("error")
        assert error["code"] == "invalid_message"
        assert len(error["detail"]) <= 200
        await shop.product(on_hand=1)
        await socket.up_to(last := await last_seq(shop.database))
    assert socket.events["log"] == await log(shop.database, before, last)


async def test_messages_may_be_binary(feeds: Feeds) -> None:
    async with feeds.staff() as socket:
        await socket.raw.send_bytes(b'{"type":"ping","id":"in bytes"}')
        assert (await socket.next("pong"))["id"] == "in bytes"


async def test_too_many_invalid_messages_close_the_socket(feeds: Feeds) -> None:
    async with feeds.staff() as socket:
        for _ in range(MISTAKES_MAX + 1):
            await socket.raw.send_str("hello")
        assert (await socket.closed())[0] == 4400
        assert len(socket.told) == MISTAKES_MAX + 1, "each was answered"


async def test_a_frame_that_is_too_large_closes_the_socket(feeds: Feeds) -> None:
    async with feeds.staff() as socket:
        await socket.raw.send_str("x" * (FRAME_MAX_BYTES + 1))
        assert (await socket.closed())[0] == 1009


async def test_too_many_messages_at_once_close_the_socket(feeds: Feeds) -> None:
    async with feeds.staff() as socket:
        for _ in range(MESSAGES_BURST + 100):
            await socket.say("ping")
        assert await socket.closed() == (4429, "too many messages")
        assert len(socket.told) >= MESSAGES_BURST, "those that were allowed were answered"
    async with feeds.opened(shop_token(feeds), "/ws/notifications") as socket:
        for _ in range(MESSAGES_BURST + 100):
            await socket.raw.send_str("")
        assert await socket.closed() == (4429, "too many messages")


def shop_token(feeds: Feeds) -> str:
    return feeds.system.token("customer", "talkative")


def _endless(opcode: int, payload: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def frames() -> Iterator[bytes]:
        yield from [frame(opcode, payload)] * (3 * FRAMES_BURST)

    return frames


def _endless_fragments() -> Iterator[bytes]:
    """One message that never ends: it has no bytes, so no bound on messages stops it."""
    yield frame(TEXT, last=False)
    yield from [frame(CONTINUED, last=False)] * (3 * FRAMES_BURST)


@pytest.mark.parametrize(
    "frames",
    [_endless(PING), _endless(PING, b"x" * 125), _endless(PONG), _endless(TEXT), _endless_fragments],
    ids=["pings", "large_pings", "pongs", "empty_messages", "fragments"],
)
async def test_too_many_frames_close_the_socket(feeds: Feeds, frames: Callable[[], Iterator[bytes]]) -> None:
    async with Wire(feeds.system, shop_token(feeds)) as wire:
        wire.writer.write(b"".join(frames()))
        assert await wire.closed() in (4429, None)  # with so much unread, the code itself may be lost


@pytest.mark.parametrize(
    ("garbage", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xff", last=False) + frame(CONTINUED, b"\xfe"), 1007),
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(CONTINUED, b"x"), 1002),
        (frame(PING, b"x", last=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(3), 1002),
        (frame(15), 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, b"\x00\x01"), 1002),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009),
        (frame(BINARY, last=False) + frame(CONTINUED, b"x" * 40_000, last=False) * 2, 1009),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_invalid_frames_close_the_socket(feeds: Feeds, garbage: bytes, code: int) -> None:
    async with Wire(feeds.system, shop_token(feeds)) as wire:
        wire.writer.write(garbage)
        assert await wire.closed() == code


async def test_subscriptions_and_topics_of_a_socket_are_bounded(shop: Shop, feeds: Feeds) -> None:
    async with feeds.staff() as socket:
        for number in range(SUBSCRIPTIONS_MAX):
            await socket.subscribe("log", name=str(number))
        assert await socket.refused("log", name="more") == "too_many_subscriptions"
        await socket.ask("unsubscribe", subscription="0")
        await socket.subscribe("log", name="more")
    async with feeds.customer("greedy") as socket:
        orders = [f"orders/{number:032x}" for number in range(3 * TOPICS_MAX)]
        await socket.subscribe(*orders[:TOPICS_MAX], name="1")
        await socket.subscribe(*orders[TOPICS_MAX : 2 * TOPICS_MAX], name="2")
        assert await socket.refused(*orders[2 * TOPICS_MAX :], name="3") == "too_many_topics"
        await socket.ask("unsubscribe", subscription="1")
        await socket.subscribe(*orders[2 * TOPICS_MAX :], name="3")


async def test_surplus_sockets_are_told_to_retry_later(shop: Shop, feeds: Feeds) -> None:
    """In total, and per principal; and those that are let in are served meanwhile."""
    before = await last_seq(shop.database)
    for most, principals, reason in (
        (SOCKETS_MAX, [f"principal-{n}" for n in range(SOCKETS_MAX + 1)], "too many sockets"),
        (SOCKETS_MAX_OF_ONE, ["principal"] * (SOCKETS_MAX_OF_ONE + 1), "too many sockets of yours"),
    ):
        async with AsyncExitStack() as stack:
            sockets: list[Socket] = [
                await stack.enter_async_context(
                    feeds.opened(shop.system.token("staff", principal), topics="log", after=before)
                )
                for principal in principals
            ]
            await shop.product(on_hand=1)
            served = [await socket.more() is not None for socket in sockets]
            assert 1 <= sum(served) <= most
            refused = [socket for socket, ok in zip(sockets, served, strict=True) if not ok]
            assert refused
            for socket in refused:
                assert socket.closed_with == (1013, reason)
            last = await last_seq(shop.database)
            for socket in sockets:
                if socket not in refused:
                    await socket.up_to(last)
                    assert socket.events["log"] == await log(shop.database, before, last)
        await eventually_seen("no socket", lambda: open_sockets(shop, 0), within_seconds=WAIT_SECONDS)


async def test_strangers_do_not_keep_authenticated_clients_out(shop: Shop, feeds: Feeds) -> None:
    """Whether these send a token in the request, or in their first message, as the dashboard does. A silent socket is
    closed when another needs its place."""
    async with AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(feeds.opened()) for _ in range(2 * SOCKETS_MAX)]
        for number in range(GATEWAYS):
            async with feeds.opened(shop.system.token("customer", f"known-{number}")) as socket:
                await socket.subscribe("me")
            async with feeds.opened() as socket:
                await socket.ask("authenticate", token=shop.system.token("staff", "wall"))
                await socket.subscribe("log")
        codes = [await socket.closed() for socket in strangers]
    assert set(codes) <= {(1013, "too many sockets that have not authenticated"), (4401, "unauthenticated")}
    assert codes.count((4401, "unauthenticated")) <= GATEWAYS


@pytest.mark.parametrize("role", ["guest", "customer"])
async def test_guests_and_customers_do_not_keep_staff_out(shop: Shop, feeds: Feeds, role: str) -> None:
    async with AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(feeds.opened(shop.system.token(role, f"{role}-{number}"), topics="me"))
            for number in range(2 * SOCKETS_MAX)
        ]
        served = [await socket.more() is not None for socket in crowd]
        refused = [socket.closed_with for socket, ok in zip(crowd, served, strict=True) if not ok]
        assert set(refused) == {(1013, "too many sockets of your kind")}
        assert sum(served) >= GATEWAYS
        for _ in range(4 * GATEWAYS):
            async with feeds.staff(topics="log") as socket:
                assert await socket.more() is not None


async def test_one_guest_has_few_sockets(shop: Shop, feeds: Feeds) -> None:
    guest = shop.system.token("guest", "one-guest")
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(feeds.opened(guest, topics="me")) for _ in range(4 * GATEWAYS)]
        refused = [socket.closed_with for socket in crowd if await socket.more() is None]
    assert set(refused) == {(1013, "too many sockets of yours")}


async def test_a_dropped_connection_does_no_harm(shop: Shop, feeds: Feeds) -> None:
    before = await last_seq(shop.database)
    async with feeds.staff(topics="log", after=before) as stays:
        for turn in range(8):
            async with feeds.opened(shop.system.token("staff", "goes"), topics="log", after=0) as goes:
                if turn % 2:
                    await goes.next("subscribed")
                goes.cut()
        await shop.product(on_hand=1)
        await stays.up_to(last := await last_seq(shop.database))
        await eventually_seen("one socket", lambda: open_sockets(shop, 1), within_seconds=WAIT_SECONDS)
    assert stays.events["log"] == await log(shop.database, before, last)


async def test_sockets_are_compressed_only_on_request(shop: Shop, feeds: Feeds) -> None:
    token = shop.system.token("staff", "feed-staff")
    async with shop.http.ws_connect(f"{shop.system.url}/ws?token={token}", compress=15) as raw:
        assert raw.compress == 0


async def test_there_is_no_socket_elsewhere(shop: Shop) -> None:
    for path in ("/", "/ws/", "/ws/other", "/api/v1/orders"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await shop.http.ws_connect(shop.system.url + path)
        assert refused.value.status == 403


@pytest.mark.campaign
async def test_at_shutdown_sockets_are_closed_and_the_gateway_ends_at_once(shop: Shop, feeds: Feeds) -> None:
    system = shop.system
    before = await last_seq(shop.database)
    token = system.token("staff", "feed-staff")
    async with feeds.staff() as socket, feeds.opened(token, "/ws/notifications") as other:
        await socket.subscribe("log", after=before)
        await shop.product(on_hand=1)
        await socket.up_to(before + 1)
        stream: Any = await shop.http.get(
            f"{system.url}/api/v1/events/stream?topics=log", headers={"Authorization": f"Bearer {token}"}
        )
        await stream.content.readuntil(b"\n\n")
        begun = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(system.stop_process, "gateway"))
        assert (await socket.closed())[0] == 1012
        assert (await other.closed())[0] == 1012
        await stream.content.read()
        await stopping
        assert pace.is_within(time.monotonic() - begun, STOP_MAX_SECONDS)

    system.start_process("gateway")

    async def is_ready() -> bool:
        return await shop.readiness() == "ready"

    await eventually_seen("the gateway again", is_ready, within_seconds=WAIT_SECONDS)
    async with feeds.staff(topics="log", after=before) as socket:
        await socket.up_to(before + 1)
        assert socket.seqs("log")[0] == before + 1
