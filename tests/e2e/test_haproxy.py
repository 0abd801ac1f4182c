"""Two gateways behind HAProxy, as `deploy/haproxy/haproxy.cfg` sets it up: orders and the feed go through it, one
gateway is restarted and then killed, and clients that retry with an idempotency key do not notice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from ops.children import Child
from ops.embedded.server import records_folder
from ops.ports import free_port
from tests.e2e.another import gateway, is_ready
from tests.e2e.follower import Follower
from tests.e2e.ledger import prove, stock_up
from tests.e2e.load import Load
from tests.needs import program
from tests.system import System, eventually, eventually_seen

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT")
ORDERS: Final = 100
_CONFIGURATION: Final = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
_READY_SECONDS: Final = 30.0


class BalancedSystem(System):
    """Its clients see the proxy."""

    def __init__(self) -> None:
        super().__init__({"TIDEGATE_STOP_NOTICE_SECONDS": "2"})
        self.proxy_port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy_port}"

    @property
    def own_url(self) -> str:
        """Of its own gateway, past the proxy."""
        return super().url


@contextmanager
def proxy(system: BalancedSystem, other: str) -> Iterator[None]:
    path = program("haproxy", "haproxy", "/usr/sbin/haproxy")
    places = {
        "TIDEGATE_BIND": urlsplit(system.url).netloc,
        "TIDEGATE_GATEWAY_A": urlsplit(system.own_url).netloc,
        "TIDEGATE_GATEWAY_B": urlsplit(other).netloc,
    }
    with system.log("haproxy").open("wb") as log:
        child = Child(
            "haproxy",
            [path, "-db", "-f", str(_CONFIGURATION)],
            records=records_folder(system.home),
            output=log,
            environment={**os.environ, **places},
        )
    try:
        eventually("the proxy, with a gateway behind it", lambda: is_ready(system.url), within_seconds=_READY_SECONDS)
        yield
    finally:
        child.stop(5.0)


@pytest_asyncio.fixture(scope="module")
async def balanced() -> AsyncIterator[BalancedSystem]:
    with BalancedSystem() as system, gateway(system) as other, proxy(system, other):
        await stock_up(system, SKUS)
        yield system


async def test_a_gateway_is_restarted_and_nobody_notices(balanced: BalancedSystem) -> None:
    async with Follower(balanced) as follower, Load(balanced, SKUS) as load:
        await load.accepts(ORDERS)
        await asyncio.to_thread(balanced.stop_process, "gateway")
        await load.accepts(ORDERS)
        await _starts_again(balanced)
        await load.accepts(ORDERS)
        await follower.catches_up()
    assert load.refusals() == set()
    await prove(balanced, load)
    assert follower.breaks <= 1, "it resumed at the other one"


async def test_a_gateway_is_killed_and_retries_with_an_idempotency_key_get_through(balanced: BalancedSystem) -> None:
    async with Follower(balanced) as follower, Load(balanced, SKUS) as load:
        await load.accepts(ORDERS)
        await asyncio.to_thread(balanced.kill_process, "gateway")
        await load.accepts(ORDERS)
        await _starts_again(balanced)
        await load.accepts(ORDERS)
        await follower.catches_up()
    assert load.refusals() == set(), "the proxy repeated what had a key"
    await prove(balanced, load)
    assert follower.breaks <= 1, "it resumed at the other one"


async def _starts_again(balanced: BalancedSystem) -> None:
    balanced.start_process("gateway")

    async def is_back() -> bool:
        return await asyncio.to_thread(is_ready, balanced.own_url)

    await eventually_seen("the gateway again", is_back, within_seconds=_READY_SECONDS)
