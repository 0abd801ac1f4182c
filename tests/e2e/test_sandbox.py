"""The sandbox as a process: what it answered is on disk, and what it did not tell yet is told by the next one."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from domain.payments.amounts import Amounts
from ops.ports import free_port
from runtime.payments.registry import Providers
from runtime.payments.sandbox import Sandbox
from runtime.settings import Settings
from tests.payments import Book
from tests.receiver import Receiver
from tests.system import eventually_seen


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@contextmanager
def process(home: Path, port: int, shop_port: int) -> Iterator[None]:
    """`python -m ops.sandbox`, killed at the end, whatever it is doing."""
    environment = {
        **os.environ,
        "TIDEGATE_HOME": str(home),
        "TIDEGATE_SANDBOX_PORT": str(port),
        "PORT": str(shop_port),
    }
    running = subprocess.Popen([sys.executable, "-m", "ops.sandbox"], env=environment)
    try:
        yield
    finally:
        running.kill()
        running.wait()


async def up(port: int) -> None:
    async def answers() -> bool:
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{port}/health") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False

    await eventually_seen("the sandbox", answers, within_seconds=20)


async def test_a_killed_sandbox_has_lost_nothing_that_it_answered(tmp_path: Path, shop: Receiver) -> None:
    port = free_port()
    async with Providers(Settings(sandbox_port=port)) as providers:
        provider = providers["sandbox"]
        assert isinstance(provider, Sandbox)
        with process(tmp_path, port, free_port()):
            await up(port)
            book = Book(provider)
            await book.create("card")
        with process(tmp_path, port, shop.port):
            await up(port)
            assert await book.create("card") == []
            assert book.take(await provider.ask(book.attempt)) == []
            assert book.amounts == Amounts(charged=1_000)
            (received,) = await shop.has(1)
            assert book.take(provider.parse_webhook(received.body, received.headers)[0]) == []
