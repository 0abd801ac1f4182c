"""A WebSocket for Locust's greenlets: the sans-I/O protocol of the websockets package on a gevent socket. One greenlet
receives; any may send."""

from __future__ import annotations

import socket
import ssl
import struct
from collections import deque
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

_RECEIVED_BYTES: Final = 65_536
_CLOSED_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a reset, as from a client whose network is gone


class SocketClosed(Exception):
    """The socket was closed, or never opened. `code` is the close code, the HTTP status, or 0 without either."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


class Socket:
    """An open WebSocket to `url` (http or https), with a bearer token."""

    def __init__(self, url: str, token: str, *, timeout_seconds: float) -> None:
        """Raises SocketClosed, or OSError. No wait for the other side may take longer than `timeout_seconds`."""
        at = urlsplit(url)
        uri = parse_uri(at._replace(scheme="wss" if at.scheme == "https" else "ws").geturl())
        self._protocol = ClientProtocol(uri, max_size=None)
        self._parts: list[bytes] = []
        self._events: deque[Any] = deque()
        self._socket = socket.create_connection((uri.host, uri.port), timeout_seconds)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if uri.secure:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=uri.host)
            request = self._protocol.connect()
            request.headers["Authorization"] = f"Bearer {token}"
            self._protocol.send_request(request)
            self._flush()
            response = self._next()
            if self._protocol.handshake_exc is not None:
                status = response.status_code if isinstance(response, Response) else 0
                raise SocketClosed(status, str(self._protocol.handshake_exc))
        except BaseException:
            self._socket.close()
            raise

    def send(self, message: bytes) -> None:
        """Sends a text message. Raises SocketClosed, or OSError."""
        try:
            self._protocol.send_text(message)
        except InvalidState as error:
            raise SocketClosed(CloseCode.ABNORMAL_CLOSURE, str(error)) from None
        self._flush()

    def receive(self) -> bytes:
        """The next message. Raises SocketClosed, or OSError (a TimeoutError if nothing comes in time)."""
        while True:
            frame: Frame = self._next()
            if frame.opcode is Opcode.CLOSE:
                closing = Close.parse(frame.data)
                raise SocketClosed(closing.code, closing.reason)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    message, self._parts = b"".join(self._parts), []
                    return message

    def cut(self) -> None:
        """Resets the connection, without a close frame."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSED_AT_ONCE)
        self._socket.close()

    def close(self) -> None:
        """Sends a close frame, without waiting for the answer."""
        with suppress(OSError, InvalidState):
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        self._socket.close()

    def _next(self) -> Any:
        """The protocol's next event: a response, then frames."""
        while not self._events:
            data = self._socket.recv(_RECEIVED_BYTES)
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._events.extend(self._protocol.events_received())
            if not data and not self._events:
                raise SocketClosed(CloseCode.ABNORMAL_CLOSURE, "the connection was lost")
            self._flush()  # pongs, and the answer to a close
        return self._events.popleft()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)
