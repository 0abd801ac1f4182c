"""Many WebSockets that only listen, as cheaply as Python allows: what they receive is counted, not parsed.

    python -m loadtests.feedload HOST PORT PATH SOCKETS EXPECTED_EVENTS

prints `ready` when all are open and subscribed, and then one line of JSON: when the last socket had received the last
of the expected events (seconds of the system's monotonic clock), the total number received, and, if events carry their
time of commit, how long they took since then. If a socket is closed earlier, it exits with code 1 and a sentence on
standard error.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import resource
import sys
import time
from typing import Final, cast

import msgspec
import uvloop

# Occurs once in every CloudEvent.
_MARK: Final = b'"specversion"'
_COMMITTED: Final = re.compile(rb'"committed":([0-9.]+)')
_SUBSCRIBED: Final = b'"subscribed"'
_AT_ONCE: Final = 100
_SPARE_FILES: Final = 200
_LOOK_SECONDS: Final = 0.005
_SHOWN_BYTES: Final = 80

_HEAD_END: Final = b"\r\n\r\n"
_PING: Final = 0x89
_PONG: Final = 0x8A
_MASKED: Final = 0x80
_LONGEST_SHORT: Final = 125


class Heard(msgspec.Struct):
    """What all sockets together have received. Times are in seconds."""

    events: int = 0
    at: float = 0.0
    waits: list[float] = []


class Closed(Exception):
    """A socket was closed before it had received everything."""


class Frames:
    """Parses a server's frames (RFC 6455) just enough to find pings: without answers to them, the server would consider
    the socket dead."""

    def __init__(self) -> None:
        self._begun = False
        self._skip = 0  # bytes of the current frame that are yet to come
        self._part = b""  # the beginning of a frame's head, or of a ping

    def pongs(self, data: bytes) -> bytes:
        """The answers to the pings in the next bytes received."""
        if self._part:
            data, self._part = self._part + data, b""
        at, size = self._skip, len(data)
        if not self._begun:
            end = data.find(_HEAD_END)
            if end < 0:
                self._part = data
                return b""
            self._begun, at = True, end + len(_HEAD_END)
        answers = b""
        while at < size:
            start = at + 2
            length = data[at + 1] if start <= size else 0
            if length > _LONGEST_SHORT:
                extended = 2 if length == _LONGEST_SHORT + 1 else 8
                length = int.from_bytes(data[start : start + extended])
                start += extended
            if start > size or (data[at] == _PING and start + length > size):
                break
            if data[at] == _PING:
                answers += bytes((_PONG, _MASKED | length, 0, 0, 0, 0)) + data[start : start + length]
            at = start + length
        self._skip, self._part = max(0, at - size), data[at:]
        return answers


class Listener(asyncio.Protocol):
    """One socket. Text split across two reads is searched again with the second."""

    def __init__(self, heard: Heard, request: bytes) -> None:
        self._heard = heard
        self._request = request
        self._rest = b""
        self._frames = Frames()
        self._transport: asyncio.Transport
        self.said_last = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = False
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        text = self._rest + data
        self.said_last = data[-_SHOWN_BYTES:]
        if pongs := self._frames.pongs(data):
            self._transport.write(pongs)
        self._rest = text[1 - len(_MARK) :]
        count = text.count(_MARK)
        if count:
            now = time.monotonic()
            self._heard.events += count
            self._heard.at = now
            if b"committed" in text:
                self._heard.waits += [now - float(at) for at in _COMMITTED.findall(data)]
        if not self._open and (_SUBSCRIBED in text or b"101 Switching" in text):
            self._open = True
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(error or Closed("a socket was closed before it was subscribed"))
        self.is_closed = True


async def _listen(host: str, port: int, path: str, sockets: int, expected: int) -> Heard:
    heard = Heard()
    loop = asyncio.get_running_loop()
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    listeners: list[Listener] = []
    for start in range(0, sockets, _AT_ONCE):
        some = [Listener(heard, request) for _ in range(start, min(sockets, start + _AT_ONCE))]
        for listener in some:
            await loop.create_connection(lambda listener=listener: listener, host, port)  # type: ignore[misc]
        await asyncio.gather(*(listener.ready for listener in some))
        listeners += some
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while heard.events < expected:
        if closed := [listener for listener in listeners if listener.is_closed]:
            raise Closed(
                f"{len(closed):,} of {sockets:,} sockets were closed after {heard.events:,} of {expected:,} events;"
                f" the first one was told {closed[0].said_last!r}"
            )
        await asyncio.sleep(_LOOK_SECONDS)
    return heard


def main() -> None:
    host, port, path, sockets, expected = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, int(sockets) + _SPARE_FILES), most))
    try:
        heard = uvloop.run(_listen(host, int(port), path, int(sockets), int(expected)))
    except (Closed, OSError) as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(heard) + b"\n")
    sys.stdout.buffer.flush()  # where it fails, that is said: what is left to the interpreter's end is lost silently


if __name__ == "__main__":
    main()
