"""The feed while things break or are attacked: in the end every subscriber has received the part of the log that it may
see, event by event; and abusive clients harm nobody else."""

import asyncio
import json
import resource
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import psutil
import pytest
import pytest_asyncio
import redis

from gateway.realtime.session import MISTAKES_MAX
from tests.e2e.api import WAIT_SECONDS
from tests.e2e.crowd import CUSTOMERS, Crowd, Interest, Pour, new_article, open_shop
from tests.e2e.faults_client import FaultsClient
from tests.e2e.feed import Socket, log
from tests.e2e.ledger import Ledger, verified
from tests.e2e.wire import BINARY, PING, TEXT, Wire, frame
from tests.system import System, eventually_seen
from tidegate.client import Feed

pytestmark = pytest.mark.campaign

OTHERS: Final = 200
SOCKETS: Final = 2_000
QUEUE_MAX_BYTES: Final = 3_000_000
REPLAYED_EVENTS: Final = 3_000
POURED_AT_ONCE: Final = 500
STUCK_MAX_EVENTS: Final = 10_000
# What an idle subscribed socket may take of the gateway's memory.
SOCKET_MAX_BYTES: Final = 60_000
# The client's files, and what the test process has open besides its sockets.
SPARE_FILES: Final = 500

# Few enough for the test process itself to keep up.
MOSTLY_QUIET: Final = (
    Interest(("log",)),
    *(Interest(("me", "catalogue"), customer) for customer in CUSTOMERS[:4]),
    *[Interest(("catalogue",))] * 35,
)

SETTINGS: Final = {
    "TIDEGATE_SOCKET_MAX_CONNECTIONS": str(SOCKETS + 100),
    "TIDEGATE_SOCKET_MAX_PER_PRINCIPAL": str(SOCKETS + 100),
    "TIDEGATE_SOCKET_QUEUE_MAX_BYTES": str(QUEUE_MAX_BYTES),
    "TIDEGATE_SOCKET_HEARTBEAT_SECONDS": "0.5",
    "TIDEGATE_SOCKET_COMPRESSION": "true",
}


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A well-stocked system, which the tests here break in turn. None of that may cause a traceback."""
    with System(SETTINGS) as running:
        await open_shop(running)
        yield running
        await verified(running)
        assert not running.tracebacks()


async def sockets_open(system: System, count: int) -> bool:
    async with FaultsClient(system) as client:
        return await client.metric("tidegate_sockets") == count


async def test_a_reader_that_stops_reading_among_200_others(system: System) -> None:
    """It is closed with the seq to resume from and has received everything up to there; the others receive everything
    without delay."""
    async with (
        Crowd(system, OTHERS, MOSTLY_QUIET) as crowd,
        Pour(system, large=True) as pour,
        Wire(system, system.token("staff")) as stuck,
    ):
        before = await crowd.is_level()
        stuck.say({"type": "subscribe", "topics": ["log"]})
        await eventually_seen("all sockets", lambda: sockets_open(system, OTHERS + 1), within_seconds=WAIT_SECONDS)
        poured = 0
        while not await sockets_open(system, OTHERS):
            assert poured < STUCK_MAX_EVENTS
            await pour.committed(POURED_AT_ONCE)
            await new_article(system)
            await crowd.is_level()
            poured += POURED_AT_ONCE
        await crowd.proves()
        assert crowd.breaks == 0, "nobody else was harmed"
        events, closing = await stuck.events()
    assert closing is not None
    assert closing == (4008, f"too slow; resume after {events[-1]['seq']}")
    async with Ledger(system) as ledger:
        assert events == await log(ledger.connection, before, events[-1]["seq"])


async def test_a_flood_of_subscribes_and_of_garbage(system: System) -> None:
    """From several sockets at once, repeatedly, while the others follow."""
    token = system.token("customer", "flooding")
    subscribes = b"".join(
        frame(TEXT, json.dumps({"type": kind, "topics": ["me", "catalogue"], "after": 0, "subscription": "s"}).encode())
        if kind == "subscribe"
        else frame(TEXT, json.dumps({"type": kind, "subscription": "s"}).encode())
        for _ in range(500)
        for kind in ("subscribe", "unsubscribe")
    )
    floods = [
        subscribes,
        frame(TEXT, b'{"type":') * 5_000,
        frame(BINARY, b"\x00" * 60_000) * (MISTAKES_MAX + 1),
        frame(TEXT) * 20_000,
        frame(PING, b"ping") * 20_000,
        secrets.token_bytes(200_000),
    ]

    async def flood(garbage: bytes) -> int | None:
        async with Wire(system, token) as wire:
            wire.writer.write(garbage)
            return await wire.closed()

    async with Crowd(system, 50) as crowd, Pour(system) as pour:
        await new_article(system)
        for _ in range(3):
            closed, _ = await asyncio.gather(
                asyncio.gather(*(flood(garbage) for garbage in floods)), pour.committed(POURED_AT_ONCE)
            )
            assert set(closed) <= {None, 1002, 1007, 1009, 4400, 4429}
        await crowd.proves()
        assert crowd.breaks == 0
        await eventually_seen("their end", lambda: sockets_open(system, 50), within_seconds=WAIT_SECONDS)


async def test_a_socket_cut_in_the_middle_of_a_replay(system: System) -> None:
    """Repeatedly, by connections that are dropped; each time it resumes after the last event that it has."""
    async with Pour(system) as pour, Ledger(system) as ledger:
        if await ledger.last_seq() < REPLAYED_EVENTS:
            await pour.committed(REPLAYED_EVENTS)
        last = await ledger.last_seq()
        got: list[Any] = []
        cuts = 0
        pouring = asyncio.create_task(pour.committed(POURED_AT_ONCE))
        async with aiohttp.ClientSession() as http:
            while not got or got[-1]["seq"] < last:
                headers = {"Authorization": f"Bearer {system.token('staff')}"}
                async with http.ws_connect(f"{system.url}/ws", headers=headers, max_msg_size=0) as raw:
                    reader = Socket(raw)
                    await reader.subscribe("log", after=got[-1]["seq"] if got else 0)
                    await reader.next("events")
                    reader.cut()
                    got += reader.events["s"]
                    cuts += 1
        await pouring
        assert cuts >= 3
        assert got == await log(ledger.connection, 0, got[-1]["seq"])
    await eventually_seen("all cut", lambda: sockets_open(system, 0), within_seconds=WAIT_SECONDS)


async def test_lost_messages_of_the_feed(system: System) -> None:
    """What Redis publishes while nobody listens is lost, and the listeners' connections are cut all the time."""
    async with Crowd(system, 30) as crowd, Pour(system) as pour:
        with redis.Redis.from_url(system.valkey.url) as valkey:
            pouring = asyncio.create_task(pour.committed(3 * POURED_AT_ONCE))
            cuts = 0
            while not pouring.done():
                cuts += valkey.client_kill_filter(_type="pubsub")
                await asyncio.sleep(0.02)
            await pouring
        assert cuts >= 3
        await new_article(system)
        await crowd.proves()
        assert crowd.breaks == 0


async def test_redis_killed_and_restarted(system: System) -> None:
    async with Crowd(system, 50) as crowd, Pour(system) as pour:
        pouring = asyncio.create_task(pour.pour(2 * POURED_AT_ONCE))
        await asyncio.to_thread(system.valkey.kill)
        async with Crowd(system, 10, [Interest(("log",))]) as newcomers:
            await asyncio.to_thread(system.valkey.start)
            await pouring
            await pour.committed(POURED_AT_ONCE)
            await crowd.proves()
            await newcomers.proves()
        assert crowd.breaks == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_postgres_restarted(system: System, how: signal.Signals) -> None:
    """Followers continue; clients that resume meanwhile retry until they can."""
    async with Crowd(system, 50) as crowd, Pour(system) as pour, aiohttp.ClientSession() as http:
        before = await crowd.is_level()
        await pour.committed(POURED_AT_ONCE)
        pouring = asyncio.create_task(pour.pour(POURED_AT_ONCE))
        await asyncio.to_thread(system.postgres.stop_immediately if how is signal.SIGQUIT else system.postgres.stop)
        late = Feed(http, system.url, system.token("staff"), ["log"], after=before)
        resuming = asyncio.create_task(anext(aiter(late)))
        mine = Feed(http, system.url, system.token("customer", "x"), [f"orders/{'0' * 32}", "me"], after=before)
        waiting = asyncio.create_task(anext(aiter(mine)))
        await asyncio.sleep(0)
        await asyncio.to_thread(system.postgres.start)
        await pouring
        await pour.committed(POURED_AT_ONCE)
        await crowd.proves()
        assert crowd.breaks == 0
        assert (await resuming)["seq"] == before + 1

        async def is_level() -> bool:
            return waiting.done() or mine.seq != before

        await eventually_seen("a feed again", is_level, within_seconds=WAIT_SECONDS)
        assert not waiting.done(), "it was not refused, and there is nothing to send"
        waiting.cancel()


async def test_the_gateway_killed_and_restarted_while_clients_resume(system: System) -> None:
    async with Crowd(system, OTHERS) as crowd, Pour(system) as pour:
        pouring = asyncio.create_task(pour.committed(POURED_AT_ONCE))
        await asyncio.to_thread(system.kill_process, "gateway")
        system.start_process("gateway")
        await pouring
        # Once more while they are still reconnecting.
        await eventually_seen("some of them back", lambda: _some_are_back(system), within_seconds=WAIT_SECONDS)
        await asyncio.to_thread(system.kill_process, "gateway")
        system.start_process("gateway")
        await pour.committed(POURED_AT_ONCE)
        await crowd.proves()
        assert crowd.breaks >= OTHERS


async def _some_are_back(system: System) -> bool:
    try:
        async with FaultsClient(system) as client:
            return bool(await client.metric("tidegate_sockets"))
    except aiohttp.ClientConnectionError:
        return False


async def test_2000_sockets_opened_at_once(system: System) -> None:
    """Each is served, and each receives every event."""
    async with (
        Pour(system) as pour,
        Ledger(system) as ledger,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as http,
    ):
        before = await ledger.last_seq()
        memory = _gateway_memory(system)
        with _many_files():
            raws = await asyncio.gather(*(_open(http, system, before) for _ in range(SOCKETS)))
            await eventually_seen("all", lambda: sockets_open(system, SOCKETS), within_seconds=WAIT_SECONDS)
            assert (_gateway_memory(system) - memory) / SOCKETS < SOCKET_MAX_BYTES
            await pour.committed(40)
            last = await ledger.last_seq()
            expected = await log(ledger.connection, before, last)
            for raw in raws:
                socket = Socket(raw)
                while not socket.events["log"] or socket.events["log"][-1]["seq"] < last:
                    assert await socket.more() is not None, socket.closed_with
                assert socket.events["log"] == expected
            await asyncio.gather(*(raw.close() for raw in raws))
        await eventually_seen("their end", lambda: sockets_open(system, 0), within_seconds=WAIT_SECONDS)


async def test_compression_is_negotiated_and_changes_nothing_else(system: System) -> None:
    headers = {"Authorization": f"Bearer {system.token('staff')}"}
    async with Ledger(system) as ledger, aiohttp.ClientSession() as http:
        last = await ledger.last_seq()
        async with http.ws_connect(f"{system.url}/ws", headers=headers, compress=15, max_msg_size=0) as raw:
            assert raw.compress
            reader = Socket(raw)
            await reader.subscribe("log", after=max(0, last - 1_000))
            await reader.up_to(last)
        assert reader.events["s"] == await log(ledger.connection, max(0, last - 1_000), last)
        async with http.ws_connect(f"{system.url}/ws", headers=headers, compress=15, max_msg_size=0) as raw:
            await raw.send_str("x" * 1_000_000)  # small on the wire
            assert (await Socket(raw).closed())[0] == 1009


async def _open(http: aiohttp.ClientSession, system: System, after: int) -> aiohttp.ClientWebSocketResponse:
    token = system.token("staff")
    return await http.ws_connect(f"{system.url}/ws?topics=log&after={after}&token={token}")


def _gateway_memory(system: System) -> int:
    return int(psutil.Process(system.pid("gateway")).memory_full_info().uss)


@contextmanager
def _many_files() -> Iterator[None]:
    """Lets this process have this many sockets; skips the test on a machine that does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine lets a process have {hard} open files; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
