"""Crowds of connections: limited in total and per address, refused with an answer, and closed when they send nothing;
and the gateway keeps the descriptors that it needs for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import aiohttp
import psutil
import pytest
import pytest_asyncio

from gateway.server import http1
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

MOST: Final = 30
MOST_PER_ADDRESS: Final = 10
CROWD: Final = 150
HEAD_SECONDS: Final = 3.0
LINGERING_MAX: Final = http1._LINGERING_MAX
# Loopback counts as a proxy by default and has no limit of its own; all of 127.0.0.0/8 is this machine.
STRANGER: Final = "127.0.0.2"

SETTINGS: Final = {
    "TIDEGATE_CONNECTIONS_MAX": str(MOST),
    "TIDEGATE_CONNECTIONS_MAX_PER_ADDRESS": str(MOST_PER_ADDRESS),
    "TIDEGATE_REQUEST_HEAD_SECONDS": str(HEAD_SECONDS),
    "TIDEGATE_REQUEST_BODY_SECONDS": str(HEAD_SECONDS),
}
_WITHIN_SECONDS: Final = 30.0


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System(SETTINGS) as running:
        yield running


class Raw(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def said(self) -> bytes:
        """Everything received until the gateway closes."""
        async with asyncio.timeout(_WITHIN_SECONDS):
            return await self.reader.read()


@asynccontextmanager
async def opened(system: System, host: str = "127.0.0.1") -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port, local_addr=(host, 0))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def status(system: System) -> int | None:
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
            http.get(f"{system.url}/health/live") as answer,
        ):
            return answer.status
    except aiohttp.ClientError:
        return None


async def open_again(system: System) -> None:
    async def answers() -> bool:
        return await status(system) == 200

    await eventually_seen("room for a request", answers, within_seconds=_WITHIN_SECONDS)


async def metric(system: System, line: str) -> float:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        http.get(f"{system.url}/metrics") as answer,
    ):
        text = await answer.text()
    return sum(float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(line))


def problem(said: bytes, status: int, code: str) -> None:
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), said
    assert json.loads(body)["code"] == code


async def test_surplus_connections_are_refused_and_silent_ones_closed(system: System) -> None:
    gateway = psutil.Process(system.pid("gateway"))
    await open_again(system)
    files = gateway.num_fds()
    async with AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(opened(system)) for _ in range(MOST)]
        await eventually_seen("all of them open", lambda: _holds(gateway, files + MOST - 5), within_seconds=10)
        refused = [await stack.enter_async_context(opened(system)) for _ in range(CROWD)]
        for raw in refused:
            problem(await raw.said(), 503, "too_many_connections")
        assert gateway.num_fds() <= files + MOST + LINGERING_MAX + 5
        # Meanwhile the first ones have been silent for too long.
        for raw in silent:
            problem(await raw.said(), 408, "request_timeout")
    await open_again(system)
    assert await metric(system, 'tidegate_connections_refused_total{bound="all"}') >= CROWD
    assert await metric(system, 'tidegate_requests_timed_out_total{part="head"}') >= MOST
    assert "connections refused since" in system.log("gateway").read_text()


async def _holds(process: psutil.Process, count: int) -> bool:
    return bool(process.num_fds() >= count)


async def test_one_address_does_not_take_up_the_room_of_others(system: System) -> None:
    await open_again(system)
    async with AsyncExitStack() as stack:
        for _ in range(MOST_PER_ADDRESS):
            await stack.enter_async_context(opened(system, STRANGER))
        async with opened(system, STRANGER) as raw:
            problem(await raw.said(), 503, "too_many_connections")
        assert await status(system) == 200


async def test_a_trickling_request_has_a_deadline(system: System) -> None:
    """For head and body; a byte now and then does not extend it."""
    json_body = b"content-type: application/json\r\ncontent-length: 9999\r\n\r\n{"
    for begun, part in (
        (b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ", "head"),
        (b"POST /api/auth/register HTTP/1.1\r\nhost: x\r\n" + json_body, "body"),
    ):
        async with opened(system) as raw:
            raw.writer.write(begun)

            async def drip(raw: Raw = raw) -> None:
                while True:
                    raw.writer.write(b" ")
                    await asyncio.sleep(0.1)

            dripping = asyncio.create_task(drip())
            try:
                said = await raw.said()
            finally:
                dripping.cancel()
            problem(said, 408, "request_timeout")
            assert f"The {part} of".encode() in said


async def test_a_connection_that_becomes_a_socket_is_counted_until_it_ends(system: System) -> None:
    await open_again(system)
    token = system.token("staff")
    before = await metric(system, "tidegate_connections ")
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            sockets = [
                await http.ws_connect(f"{system.url}/ws?topics=log&token={token}") for _ in range(MOST_PER_ADDRESS // 2)
            ]
            assert await metric(system, "tidegate_connections ") == before + len(sockets)
            for socket in sockets:
                await socket.close()

    async def as_before() -> bool:
        return await metric(system, "tidegate_connections ") == before

    await eventually_seen("as many connections as before", as_before, within_seconds=_WITHIN_SECONDS)
