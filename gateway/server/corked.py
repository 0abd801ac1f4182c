"""A transport that combines consecutive writes: uvicorn writes the head and the body of a response separately, and each
would be a system call and a packet of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


class CorkedTransport:
    """Collects writes until the next iteration of the event loop; delegates everything else to the transport."""

    __slots__ = ("_held", "_loop", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self.write(b"".join(lines))

    def get_write_buffer_size(self) -> int:
        return self.transport.get_write_buffer_size() + sum(map(len, self._held))

    def write_eof(self) -> None:
        self._send()
        self.transport.write_eof()

    def close(self) -> None:
        self._send()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def uncork(self) -> asyncio.Transport:
        """Sends what was collected and returns the transport, to be written to directly from now on."""
        self._send()
        return self.transport

    def _send(self) -> None:
        held, self._held = self._held, []
        if held and not self.transport.is_closing():
            self.transport.write(b"".join(held))
