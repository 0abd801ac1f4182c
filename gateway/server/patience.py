"""Limits how long a client may hold a connection without using it: uvicorn itself waits forever for the rest of a
request, and for a response to be read.

The head and the body of a request each have a deadline, however steadily bytes trickle in. Connections are checked
every few seconds, which costs requests nothing, but lets a slow client stay that much longer. uvicorn closes
connections that are idle between requests; WebSockets are left to `websocket`.
"""

import asyncio
from typing import Final, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.metrics import REQUESTS_TIMED_OUT
from runtime.settings import settings

LOOK_SECONDS: Final = 5.0
"""An upload may pause no longer than `import_idle_seconds`, and has a deadline of its own."""

STUCK_LOOKS: Final = 12
"""A client that reads nothing of a response for this many checks in a row is disconnected."""

Part = Literal["head", "body"]


class PatientHttp(HttpToolsProtocol):
    """Disconnects clients that neither send nor read."""

    _looking: asyncio.TimerHandle | None = None
    _awaited: Part = "head"
    _since = 0.0  # when the part began, or could have
    _body_seconds: float | None = None  # of this request, if it has a deadline of its own
    _whole = False  # is the last request
    _untaken_bytes = 0  # of responses, at the last check
    _stuck = 0  # consecutive checks at which that had not decreased

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._since = self.loop.time()
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_no_more()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._look_no_more()
        super().handle_websocket_upgrade()

    def may_send_for(self, seconds: float) -> None:
        """Sets how long the body of the current request may take."""
        self._body_seconds = seconds

    def on_message_begin(self) -> None:
        self._whole = False
        self._awaited, self._since = "head", self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._awaited, self._since, self._body_seconds = "body", self.loop.time(), None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()  # the next request's time starts when the response is complete
        super().on_response_complete()

    def give_up(self, part: Part) -> None:
        """Closes the connection, because this part of a request did not arrive in time."""
        self.transport.close()

    def _look(self) -> None:
        """Closes the connection if the client holds it without using it; otherwise checks again later."""
        untaken_bytes = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        self._stuck = self._stuck + 1 if untaken_bytes >= self._untaken_bytes > 0 else 0
        self._untaken_bytes = untaken_bytes
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._stuck >= STUCK_LOOKS:
            self.transport.abort()
        elif self._is_awaited() and self.loop.time() - self._since > self._deadline_seconds():
            REQUESTS_TIMED_OUT.labels(self._awaited).inc()
            self.give_up(self._awaited)

    def _deadline_seconds(self) -> float:
        config = settings()
        if self._awaited == "head":
            return config.request_head_seconds
        return self._body_seconds or config.request_body_seconds

    def _is_awaited(self) -> bool:
        """Whether it is the client's turn to send: its request is incomplete, or has not begun."""
        if self._whole or self.flow.read_paused or self.transport.is_closing():
            return False
        return self.cycle is None or self.cycle.more_body or bool(self.cycle.response_complete)

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
