"""How webhooks connect: a hanging name server holds up nothing else, and no socket is opened to a private address."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.limits import WEBHOOKS_MAX
from runtime.settings import Settings
from tests import pace
from workers.reactions import connections
from workers.reactions.connections import AddressRefused, Resolver

OWN_SECRET = "a-secret-of-at-least-thirty-two-bytes"


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = Resolver()
    yield resolver
    await resolver.close()


async def test_names_are_looked_up(resolver: Resolver) -> None:
    found = await resolver.resolve("localhost", 443, socket.AF_INET)
    assert [(result["host"], result["port"]) for result in found] == [("127.0.0.1", 443)]


async def test_hanging_name_servers_hold_up_nothing_else(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, answered = socket.getaddrinfo, threading.Event()

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        if host == "hangs.example":
            answered.wait(60)
            raise socket.gaierror
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    hanging = [asyncio.create_task(resolver.resolve("hangs.example")) for _ in range(WEBHOOKS_MAX - 1)]
    try:
        assert await asyncio.wait_for(resolver.resolve("localhost"), pace.seconds(20))
        assert not any(task.done() for task in hanging)
    finally:
        answered.set()
        await asyncio.gather(*hanging, return_exceptions=True)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET, ("169.254.169.254", 80)),
        (socket.AF_INET6, ("::1", 80, 0, 0)),
        (socket.AF_INET6, ("fe80::1", 80, 0, 2)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 80, 0, 0)),
    ],
)
async def test_no_socket_is_opened_to_a_private_address(family: socket.AddressFamily, address: Any) -> None:
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
    with pytest.raises(AddressRefused):
        connections.socket_to_public_address(info)


async def test_a_socket_is_opened_to_a_public_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("8.8.8.8", 80))
    connections.socket_to_public_address(info).close()


def test_private_addresses_are_allowed_in_development_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().webhooks_may_be_private
    monkeypatch.setenv("TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES", "false")
    assert not Settings().webhooks_may_be_private
    monkeypatch.setenv("TIDEGATE_MODE", "production")
    monkeypatch.setenv("TIDEGATE_JWT_SECRET", OWN_SECRET)
    monkeypatch.delenv("TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES")
    assert not Settings().webhooks_may_be_private
    monkeypatch.setenv("TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES", "true")
    assert Settings().webhooks_may_be_private
