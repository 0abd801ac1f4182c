"""The WebSocket: the log for staff, live and from any seq, and the codes that it is closed with."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.api import WAIT_SECONDS
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.faults import workers_stopped
from tests.e2e.shop import STAFF, Shop
from tests.system import eventually_seen

QUEUE_MAX_EVENTS: Final = int(SHOP_SETTINGS["TIDEGATE_SOCKET_QUEUE_MAX_EVENTS"])
GATEWAYS: Final = int(SHOP_SETTINGS["TIDEGATE_GATEWAY_PROCESSES"])
SOCKETS_MAX: Final = GATEWAYS * int(SHOP_SETTINGS["TIDEGATE_SOCKET_MAX_CONNECTIONS"])

# The Procfile's bound for what a client may say at a time.
FRAME_MAX_BYTES: Final = 65_536

# The Procfile gives the gateway 3 seconds for what it has begun; sockets need none of them.
STOP_MAX_SECONDS: Final = 3.0


class Socket:
    """One open WebSocket, and what came over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = socket
        self.events: list[dict[str, Any]] = []
        self.closed_with: tuple[int, str | None] = (0, None)

    async def more(self) -> bool:
        """Takes the next frame; False if it closes the socket."""
        message = await self.raw.receive(WAIT_SECONDS)
        if message.type is not aiohttp.WSMsgType.TEXT:
            assert message.type is aiohttp.WSMsgType.CLOSE, message
            self.closed_with = message.data, message.extra
            return False
        frame = json.loads(message.data)
        assert frame, "no frame is empty"
        self.events += frame
        return True

    async def up_to(self, seq: int) -> list[dict[str, Any]]:
        """The events so far, once that of `seq` is there."""
        while not self.events or self.events[-1]["seq"] < seq:
            assert await self.more(), f"closed with {self.closed_with}"
        return self.events

    async def closed(self) -> tuple[int, str | None]:
        """Code and reason, once it is closed."""
        while await self.more():
            pass
        return self.closed_with


@asynccontextmanager
async def opened(
    shop: Shop, *, token: str | None = None, headers: dict[str, str] | None = None, **params: str | int
) -> AsyncIterator[Socket]:
    """A socket of staff, unless `token` (or an empty one and `headers`) says otherwise."""
    if token is None:
        token = shop.system.token("staff", STAFF)
    if token:
        params["token"] = token
    async with shop.http.ws_connect(f"{shop.system.url}/ws", params=params, headers=headers) as socket:
        yield Socket(socket)


async def last_seq(shop: Shop) -> int:
    return int(await shop.database.fetchval("SELECT last_seq FROM event_counter"))


async def log(shop: Shop, after: int) -> list[dict[str, Any]]:
    """The log behind `after`, as the API pages it."""
    events: list[dict[str, Any]] = []
    while page := (await shop.staff.get("/events", after=after + len(events), limit=50)).ok()["items"]:
        events += page
    return events


async def burst(shop: Shop, count: int) -> None:
    """So many events of one batch."""
    sku = await shop.product()
    async with workers_stopped(shop.system):
        receipt = f"/inventory/{sku}/receipts"
        answers = await asyncio.gather(*(shop.staff.post(receipt, {"quantity": 1}, wait=None) for _ in range(count)))
    for answer in answers:
        await shop.staff.settled(answer.ok(202)["command_id"])


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("", 4401, "unauthenticated"),
        ("abc", 4401, "invalid_token"),
        ("expired", 4401, "invalid_token"),
        ("customer", 4403, "forbidden"),
        ("nobody", 4403, "forbidden"),
    ],
)
async def test_only_staff_are_served(shop: Shop, token: str, code: int, reason: str) -> None:
    made = {"customer": shop.system.token("customer"), "nobody": shop.system.token("nobody")}
    async with opened(shop, token=made.get(token, token)) as socket:
        assert await socket.closed() == (code, reason)


async def test_the_token_may_come_as_a_header(shop: Shop) -> None:
    before = await last_seq(shop)
    authorization = f"Bearer {shop.system.token('staff')}"
    async with opened(shop, token="", headers={"Authorization": authorization}, after=before) as socket:
        await shop.product(on_hand=1)
        assert (await socket.up_to(before + 1))[0]["type"] == "stock.received"


@pytest.mark.parametrize("after", ["-1", "abc", "1.5", "0x10", "9" * 20, "9" * 5_000, "²", "1_000", " "])
async def test_a_seq_that_is_none_closes_the_socket(shop: Shop, after: str) -> None:
    async with opened(shop, after=after) as socket:
        assert await socket.closed() == (4400, "`after` is a seq")


async def test_events_come_live_and_in_order(shop: Shop) -> None:
    async with opened(shop) as socket, opened(shop) as other:
        sku = await shop.product(on_hand=100)
        customer = shop.customer()
        order = await customer.placed({sku: 1})
        (await customer.cancel(order["id"])).ok()
        await asyncio.gather(*(customer.place({sku: 1}) for _ in range(20)))
        last = await last_seq(shop)
        events = await socket.up_to(last)
        assert events == await other.up_to(last)
    assert events == (await log(shop, 0))[-len(events) :]
    assert [event["type"] for event in events] == ["stock.received", "order.placed", "order.cancelled"] + [
        "order.placed"
    ] * 20


async def test_an_event_comes_soon_after_its_commit(shop: Shop) -> None:
    """Over the feed, not by looking into the log after a silence of a second."""
    sku = await shop.product(on_hand=1)
    async with opened(shop, after=await last_seq(shop) - 1) as socket:
        await socket.more()
        seconds = []
        for _ in range(5):
            (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
            answered = time.monotonic()
            await socket.more()
            seconds.append(time.monotonic() - answered)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("behind", [0, 1, 60])
async def test_resuming_gives_exactly_what_the_log_has(shop: Shop, behind: int) -> None:
    """From the very beginning, from the last but one, and from far enough back for several pages of the log."""
    if await last_seq(shop) < 100:
        await burst(shop, 99)
        await shop.product(on_hand=1)
    last = await last_seq(shop)
    after = last - behind if behind else 0
    async with opened(shop, after=after) as socket:
        assert await socket.up_to(last) == await log(shop, after)
        await shop.product(on_hand=1)
        assert await socket.up_to(last + 1) == await log(shop, after)


async def test_resuming_while_events_come_neither_repeats_nor_misses_one(shop: Shop) -> None:
    sku = await shop.product(on_hand=1_000)
    customer = shop.customer()
    first = await last_seq(shop)

    async def placing() -> None:
        for _ in range(10):
            await asyncio.gather(*(customer.place({sku: 1}) for _ in range(5)))

    async def following() -> list[int]:
        seqs: list[int] = []
        while len(seqs) < 50:
            async with opened(shop, after=first + len(seqs)) as socket:
                await socket.more()
                seqs += [event["seq"] for event in socket.events]
        return seqs

    seqs, _ = await asyncio.gather(following(), placing())
    assert seqs == list(range(first + 1, first + 51))


async def test_from_a_seq_that_is_yet_to_come(shop: Shop) -> None:
    sku = await shop.product()
    last = await last_seq(shop)
    async with opened(shop, after=last + 2) as socket:
        for _ in range(3):
            (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        assert [event["seq"] for event in await socket.up_to(last + 3)] == [last + 3]


async def test_what_the_client_says_is_ignored(shop: Shop) -> None:
    before = await last_seq(shop)
    async with opened(shop, after=before) as socket:
        for garbage in ("", "hello", '{"type":"subscribe"}', "[" * FRAME_MAX_BYTES, "🌊" * 1_000):
            await socket.raw.send_str(garbage)
        for binary in (b"", b"\x00\xff" * 1_000):
            await socket.raw.send_bytes(binary)
        await socket.raw.ping(b"are you there")
        await shop.product(on_hand=1)
        assert [event["seq"] for event in await socket.up_to(before + 1)] == [before + 1]


async def test_a_frame_that_is_too_large_closes_the_socket(shop: Shop) -> None:
    async with opened(shop) as socket:
        await socket.raw.send_str("x" * (FRAME_MAX_BYTES + 1))
        assert (await socket.closed())[0] == 1009


async def test_a_client_that_goes_without_a_word_harms_nobody(shop: Shop) -> None:
    before = await last_seq(shop)
    async with opened(shop, after=before) as stays:
        for _ in range(4):
            async with opened(shop) as goes:
                connection = goes.raw.get_extra_info("socket")
                assert connection is not None
                goes.raw._response.connection.transport.abort()  # type: ignore[union-attr]
        await shop.product(on_hand=1)
        await stays.up_to(before + 1)


async def test_more_sockets_than_allowed_are_told_to_come_later(shop: Shop) -> None:
    await eventually_seen("no socket of earlier tests", lambda: _open_sockets(shop, 0), within_seconds=WAIT_SECONDS)
    before = await last_seq(shop)
    sockets: list[Any] = [opened(shop, after=before) for _ in range(SOCKETS_MAX + 1)]
    try:
        entered = [await socket.__aenter__() for socket in sockets]
        await shop.product(on_hand=1)
        served = [await socket.more() for socket in entered]
        assert 1 <= sum(served) <= SOCKETS_MAX
        refused = [socket for socket, ok in zip(entered, served, strict=True) if not ok]
        assert refused
        for socket in refused:
            assert socket.closed_with == (1013, "too many sockets")
    finally:
        for socket in sockets:
            await socket.__aexit__(None, None, None)


async def _open_sockets(shop: Shop, count: int) -> bool:
    metrics = (await shop.anybody.request("GET", "/metrics")).body.decode()
    return f"\ntidegate_sockets {float(count)}\n" in metrics


async def test_a_reader_that_is_too_slow_is_told_where_to_resume(shop: Shop) -> None:
    """A batch of more events than fit the socket's queue is a reader too slow, however fast it reads."""
    before = await last_seq(shop)
    async with opened(shop, after=before) as socket:
        await shop.product(on_hand=1)
        await socket.up_to(before + 1)
        await burst(shop, QUEUE_MAX_EVENTS + 1)
        code, reason = await socket.closed()
        seen = [event["seq"] for event in socket.events]
    assert code == 4008
    assert reason == f"too slow; resume after {seen[-1]}"
    assert seen == list(range(before + 1, before + 1 + len(seen)))

    async with opened(shop, after=seen[-1]) as socket:
        last = await last_seq(shop)
        assert [event["seq"] for event in await socket.up_to(last)] == list(range(seen[-1] + 1, last + 1))


async def test_at_shutdown_sockets_are_closed_and_the_gateway_ends_at_once(shop: Shop) -> None:
    system = shop.system
    before = await last_seq(shop)
    async with opened(shop, after=before) as socket, opened(shop, after=before) as other:
        await shop.product(on_hand=1)
        await socket.up_to(before + 1)
        await other.up_to(before + 1)
        begun = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(system.stop_process, "gateway"))
        assert (await socket.closed())[0] == 1012
        assert (await other.closed())[0] == 1012
        await stopping
        assert time.monotonic() - begun < STOP_MAX_SECONDS

    system.start_process("gateway")
    await eventually_seen("the gateway again", lambda: _answers(shop), within_seconds=WAIT_SECONDS)
    async with opened(shop, after=before) as socket:
        assert [event["seq"] for event in await socket.up_to(before + 1)] == [before + 1]


async def _answers(shop: Shop) -> bool:
    try:
        return (await shop.anybody.request("GET", "/health/ready")).status == 200
    except aiohttp.ClientConnectionError:
        return False
