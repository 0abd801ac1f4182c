"""HTTP/1.1 as uvicorn speaks it, bounded where httptools is not, and with problem documents for what is no HTTP.

`uvicorn --http gateway.http1:BoundedHttp`. Bodies have their bound in `gateway.requests`, where it can be told nicely.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from gateway.patience import PatientHttp
from gateway.problems import Problem

HEAD_MAX_BYTES: Final = 65_536
"""Request line and headers together; looked at whenever more arrives, so one read (some 256 KiB) may come on top."""

PIPELINE_MAX_REQUESTS: Final = 1_000
"""Requests of one connection that wait for those before them. Reading pauses while any wait; a single read may bring
more, and then the connection is closed."""

CONNECTION: Final = "tidegate.connection"
"""The key in a request's scope of the BoundedHttp that it came by."""


def _refusal(code: str, detail: str) -> bytes:
    """The problem as it goes over the wire; the connection is closed behind it."""
    answer = Problem(code, detail, headers={"Connection": "close"}).response()
    head = b"HTTP/1.1 %d %s\r\n" % (answer.status_code, HTTPStatus(answer.status_code).phrase.encode())
    headers = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    return head + headers + b"\r\n" + bytes(answer.body)


_HEAD_TOO_LARGE: Final = _refusal("head_too_large", f"Request line and headers have at most {HEAD_MAX_BYTES} bytes.")
_MALFORMED: Final = _refusal("malformed_request", "This is no HTTP/1.1 request.")
_UPGRADE_REFUSED: Final = _refusal(
    "upgrade_not_supported",
    "Send this without an Upgrade header: HTTP/1.1 is spoken here, and WebSocket is begun with GET.",
)


class BoundedHttp(PatientHttp):
    """Answers what it refuses with a problem document, and closes the connection."""

    at_shutdown: Callable[[], None] | None = None
    """Called when the gateway stops, for an answer that would go on."""

    _in_head = True
    _head_bytes = 0

    def shutdown(self) -> None:
        super().shutdown()
        if self.at_shutdown is not None:
            self.at_shutdown()

    def cut(self) -> None:
        """Ends the connection at once; what is still on its way is lost."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if len(self.pipeline) > PIPELINE_MAX_REQUESTS:
            self.pipeline.clear()
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is the trailer of a chunked body: nobody reads those, and they have no bound
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        upgrades = self.parser.should_upgrade()
        if upgrades and not self._may_upgrade():
            self._refuse(_UPGRADE_REFUSED)
            raise ValueError("the parser is to stop here")
        super().on_headers_complete()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]  # the request's own, begun a moment later
        if upgrades and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser takes nothing more from this connection

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on at every answer, however many requests wait already
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(_MALFORMED)

    def _may_upgrade(self) -> bool:
        """Behind the head of a request with an Upgrade header httptools parses nothing, not even its body."""
        if self._should_upgrade():
            return bool(self.parser.get_method() == b"GET")
        headers = dict(self.headers)
        return b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()
