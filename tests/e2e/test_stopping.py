"""A gateway or worker that is told to stop: load balancers and clients learn of it, no waiting client is cut off, and
what has begun is finished.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest
import pytest_asyncio
import redis.asyncio as redis

from tests import pace
from tests.e2e.faults import workers_stopped
from tests.e2e.faults_client import FaultsClient
from tests.e2e.follower import Follower
from tests.e2e.ledger import stock_up
from tests.system import System, eventually, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
NOTICE_SECONDS: Final = 2
GATEWAYS: Final = 2
WAITING: Final = 5
# Longer than the client is patient: who is left to wait for so long gets no answer here.
WAIT_SECONDS: Final = 30
IDLE_STOP_SECONDS: Final = 1.5
_SOON_SECONDS: Final = 10.0


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    settings = {"TIDEGATE_STOP_NOTICE_SECONDS": str(NOTICE_SECONDS), "TIDEGATE_GATEWAY_PROCESSES": str(GATEWAYS)}
    with System(settings) as running:
        await stock_up(running, [SKU])
        yield running
        code, found = running.verify()
        assert code == 0, found
        assert not running.tracebacks()


def _tell_to_end(system: System) -> None:
    """As a supervisor does: the processes hear of it at once, and from their parent a moment later."""
    os.killpg(system.pid("gateway"), signal.SIGTERM)


async def _waiting_commands(system: System) -> int:
    async with redis.Redis.from_url(system.valkey.url) as client:
        return sum([await client.xlen(f"mailbox:{{{number}}}") for number in range(16)])


async def test_a_stopping_gateway_tells_balancers_and_answers_waiting_clients(system: System) -> None:
    async with FaultsClient(system) as client, Follower(system) as follower:
        async with workers_stopped(system):
            waiting = [asyncio.create_task(client.place({SKU: 1}, wait=WAIT_SECONDS)) for _ in range(WAITING)]

            async def all_wait() -> bool:
                return await _waiting_commands(system) >= WAITING

            await eventually_seen("orders in the mailboxes", all_wait, within_seconds=_SOON_SECONDS)
            _tell_to_end(system)
            for path, status in (("ready", 503), ("ready?for=reads", 503), ("ready?for=writes", 503), ("live", 200)):
                reply = await client.get_health(path)
                assert reply.status == status, path
                assert reply.body["status"] == ("alive" if path == "live" else "stopping")
            assert (await client.get("/products")).status == 200, "it keeps serving until balancers have noticed"
            replies = await asyncio.gather(*waiting)
        assert [reply.status for reply in replies] == [202] * WAITING
        assert all(reply.body["status_url"] == reply.headers["Location"] for reply in replies)
        eventually("the gateway's end", lambda: system.has_ended("gateway"), within_seconds=5)

        system.start_process("gateway")
        await _is_ready(client)

        async def all_are_applied() -> bool:
            asked = [await client.get_url(reply.body["status_url"]) for reply in replies]
            return all(reply.body.get("status") == "applied" for reply in asked)

        await eventually_seen("the orders applied", all_are_applied, within_seconds=_SOON_SECONDS)
        await follower.catches_up()
    assert follower.breaks == 1, "the client reconnected by itself"


async def test_a_running_request_is_finished(system: System) -> None:
    """A body that is being sent when the gateway is told to stop."""
    parts: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while (part := await parts.get()) is not None:
            yield part

    async with FaultsClient(system) as client, aiohttp.ClientSession() as http:
        await parts.put(b'{"lines": [{"sku": "KETTLE", ')
        placing = asyncio.create_task(
            http.post(
                f"{system.url}/api/v1/orders",
                data=body(),
                headers={"Authorization": f"Bearer {system.token()}", "Content-Type": "application/json"},
            )
        )

        async def is_on_its_way() -> bool:
            return parts.empty() and (await client.get("/products")).status == 200

        await eventually_seen("a request on its way", is_on_its_way, within_seconds=_SOON_SECONDS)
        _tell_to_end(system)
        await eventually_seen("a gateway that takes nothing new", lambda: _is_closed(system), within_seconds=5)
        await parts.put(b'"quantity": 1}]}')
        await parts.put(None)
        response = await placing
        assert response.status == 202
        eventually("the gateway's end", lambda: system.has_ended("gateway"), within_seconds=5)
        system.start_process("gateway")
        await _is_ready(client)


async def test_an_idle_system_stops_quickly_and_a_second_signal_stops_it_at_once() -> None:
    with System() as idle:
        begun = time.monotonic()
        idle.stop_process("gateway")
        assert pace.is_within(time.monotonic() - begun, IDLE_STOP_SECONDS)
        idle.start_process("gateway")
        async with FaultsClient(idle) as client, workers_stopped(idle):
            await _is_ready(client)
            gateway = idle.pid("gateway")
            reader, writer = await asyncio.open_connection("127.0.0.1", idle.port)
            head = f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {idle.token()}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            await writer.drain()
            assert (await client.get_health("live")).status == 200
            os.kill(gateway, signal.SIGTERM)
            await asyncio.sleep(2.5)  # no longer the same request
            assert not idle.has_ended("gateway"), "it waits for the request's body"
            os.kill(gateway, signal.SIGTERM)
            eventually("the gateway's end", lambda: idle.has_ended("gateway"), within_seconds=2)
            writer.close()
            del reader


async def _is_closed(system: System) -> bool:
    """Whether connections are refused, and not left in a queue that nobody looks at."""
    try:
        async with pace.timeout(2):
            _, writer = await asyncio.open_connection("127.0.0.1", system.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def _is_ready(client: FaultsClient) -> None:
    async def says_so() -> bool:
        return (await client.health()).status == 200

    await eventually_seen("a gateway that is ready", says_so, within_seconds=_SOON_SECONDS)
