"""How long a client may hold a connection for nothing: uvicorn itself waits for ever for a request to go on, and for an
answer to be taken.

Each connection is looked at now and then. That costs a request nothing; so a client is let go after one or two times
the pause between looks. A connection between two requests is uvicorn's to close, and a WebSocket is `websocket`'s.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOK_SECONDS: Final = 60.0
LOOK_MIN_BYTES: Final = 4_096
"""A request that was unfinished at two looks, and got fewer bytes in between, is given up; and so is a reader who took
nothing of an answer. An upload may pause no longer than `import_idle_seconds`, which is never more than one pause."""


class PatientHttp(HttpToolsProtocol):
    """Lets go of who neither sends nor takes."""

    _looking: asyncio.TimerHandle | None = None
    _begun = 0  # requests; and so many when it was looked at last
    _begun_before = -1
    _whole = False  # is the last of them
    _came_bytes = 0  # since then
    _untaken_bytes = 0  # of answers, then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_no_more()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._look_no_more()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        self._came_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._begun += 1
        self._whole = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def _look(self) -> None:
        """Ends the connection if it is only held; else looks again later."""
        untaken_bytes = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        if untaken_bytes and untaken_bytes >= self._untaken_bytes > 0:
            self.transport.abort()
        elif self._is_awaited() and self._begun == self._begun_before and self._came_bytes < LOOK_MIN_BYTES:
            self.transport.close()
        self._untaken_bytes, self._begun_before, self._came_bytes = untaken_bytes, self._begun, 0
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def _is_awaited(self) -> bool:
        """Whether it is the client's turn: what it began is not whole, or it never began anything. While an answer is
        on its way, the next request may take its time."""
        if self._whole or self.flow.read_paused:
            return False
        return self.cycle is None or self.cycle.more_body or bool(self.cycle.response_complete)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
