"""How webhooks connect: to public addresses only, and without one hanging name server holding up other endpoints.

The check is on the address of the socket that is about to be connected, so neither DNS rebinding nor an unusual
spelling of an address gets past it. Nor do redirects and proxies: `delivery` uses neither.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from domain.limits import WEBHOOKS_MAX
from runtime.addresses import is_public

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class AddressRefused(OSError):
    """The address is not public."""


class Resolver(AbstractResolver):
    """Resolves names in threads of its own, enough for every endpoint if all name servers hang. The event loop's few
    threads are left for connections to Postgres."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WEBHOOKS_MAX, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=family, proto=proto, flags=_NUMERIC
            )
            for family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def connector(resolver: Resolver, *, private_too: bool) -> TCPConnector:
    """Connections for the requests of all endpoints, each of which has at most one at a time."""
    return TCPConnector(
        resolver=resolver, limit=WEBHOOKS_MAX, socket_factory=None if private_too else socket_to_public_address
    )


def socket_to_public_address(info: AddrInfoType) -> socket.socket:
    """A socket for a connection to this address. Raises AddressRefused."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        # The message leaves out the address: it would let outsiders resolve internal names.
        raise AddressRefused(errno.EACCES, "webhooks go to public addresses only")
    return socket.socket(family, kind, protocol)
