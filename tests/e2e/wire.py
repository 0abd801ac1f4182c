"""A handmade WebSocket: a test can send on it what no client library would, and reads only when it wants to."""

import asyncio
import base64
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any, Final, Self

from tests import pace
from tests.e2e.api import WAIT_SECONDS
from tests.system import System

TEXT: Final = 1
BINARY: Final = 2
CONTINUED: Final = 0
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

# So small that a server which sends soon finds no room.
_SMALL_BUFFER_BYTES: Final = 65_536
_LEAST_BUFFER_BYTES: Final = 4_096
_MASK: Final = b"\x00\x00\x00\x00"


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = True) -> bytes:
    """A client's frame (RFC 6455, 5.2)."""
    head = bytes([(0x80 if last else 0) | opcode])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", len(payload))
    return head + (_MASK if masked else b"") + payload


class Wire:
    """`async with Wire(system, token) as wire:` is an open WebSocket at `path`."""

    def __init__(self, system: System, token: str, path: str = "/ws", *, small: bool = False) -> None:
        """With a `small` receive buffer, the kernel too buffers little of what is not read."""
        self._small = small
        self._system = system
        self._token = token
        self._path = path
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        # A StreamReader reads ahead only up to its limit.
        connected = socket.socket()
        if self._small:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LEAST_BUFFER_BYTES)
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self._system.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connected, limit=_SMALL_BUFFER_BYTES)
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            f"GET {self._path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self.accepted = head
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    def say(self, message: Any) -> None:
        """A message, as JSON."""
        self.writer.write(frame(TEXT, json.dumps(message).encode()))

    async def read(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def events(self) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
        """All events until the server closes, and its code and reason; None if it dropped the connection."""
        events: list[dict[str, Any]] = []
        try:
            async with pace.timeout(WAIT_SECONDS):
                while True:
                    opcode, payload = await self.read()
                    if opcode == CLOSE:
                        return events, (struct.unpack("!H", payload[:2])[0], payload[2:].decode())
                    if opcode == TEXT and (message := json.loads(payload))["type"] == "events":
                        events += message["events"]
        except (asyncio.IncompleteReadError, ConnectionError):
            return events, None

    async def closed(self) -> int | None:
        """The code that it is closed with."""
        _, closing = await self.events()
        return None if closing is None else closing[0]
