"""WebSockets as uvicorn speaks them, bounded where it is not: `uvicorn --ws gateway.server.websocket:BoundedWebSocket`.

uvicorn bounds the size of a message, and stops reading while one waits. It does not bound control frames and fragments,
how much is parsed while all other connections wait, or how long a closed connection stays open because its client reads
nothing. The content and the number of messages are left to the session.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from gateway.server.closing import TOO_MANY_MESSAGES
from gateway.server.rate import Allowance
from gateway.server.stopping import turn

FRAMES_PER_SECOND: Final = 100.0
FRAMES_BURST: Final = 1_000
"""Frames of any kind. Messages have a tighter bound, but may come in fragments."""

CLOSE_SECONDS: Final = 10.0
"""How long a client has to read what was sent before the close, and the close code."""

# How much is parsed at a time. The smallest frames have six bytes, so this takes a few milliseconds at worst.
_SLICE_BYTES: Final = 4_096


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Closes connections whose clients send too much, and aborts those whose clients read nothing."""

    at_end: Callable[[], None] | None = None
    """Called when the connection is gone."""

    _letting_go: asyncio.TimerHandle | None = None
    _allowance: Allowance | None = None

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])

    def handle_cont(self, event: Frame) -> None:
        if self._may_say():
            super().handle_cont(event)

    def handle_text(self, event: Frame) -> None:
        if self._may_say():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if self._may_say():
            super().handle_bytes(event)

    def handle_ping(self) -> None:
        if self._may_say():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_say():
            super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        """Invalid UTF-8 closes the socket, without the traceback that uvicorn would log."""
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self.frames = []
            self._fail(CloseCode.INVALID_DATA, "a text is UTF-8")
        else:
            super().send_receive_event_to_app()

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.loop.call_later(turn(len(self.connections)), self._shut_down)
        else:
            super().shutdown()

    def _shut_down(self) -> None:
        if not self.disconnected:
            super().shutdown()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()  # the close code is small, and a client that reads nothing now may do so later
        await super().send(message)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            self._letting_go = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.at_end is not None:
            self.at_end()
        if self._letting_go is not None:
            self._letting_go.cancel()

    def _may_say(self) -> bool:
        if self._allowance is None:
            self._allowance = Allowance(FRAMES_PER_SECOND, FRAMES_BURST)
        if self._allowance.take():
            return True
        self._fail(TOO_MANY_MESSAGES, "too many frames")
        return False

    def _fail(self, code: int, reason: str) -> None:
        if not self.transport.is_closing():
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def _is_text(fragments: list[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
