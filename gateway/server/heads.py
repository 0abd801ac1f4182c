"""Checks the heads of responses as a whole: uvicorn checks every header with two regular expressions, and most of our
responses have more than a dozen.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, Final

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

_PLAIN_MAX: Final = 256
_WITHOUT_BODY: Final = frozenset({204, 304})
_LINE_END: Final = b"\r\n"
# The characters that no header may contain, except for those of line ends, which are counted instead.
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {*b"\t\r\n"})

_plain: Final[set[bytes]] = set()
"""Header names, in lower case, that are known to be valid and affect neither the framing of the body nor the
connection."""


class Cycle(RequestResponseCycle):
    """uvicorn's cycle of a request and its response, with a faster head."""

    _says_close = False

    def send(self, message: ASGISendEvent) -> Coroutine[Any, Any, None]:
        if self.response_started or message["type"] != "http.response.start" or self.access_log:
            return super().send(message)
        return self._begin(message)

    async def _begin(self, message: HTTPResponseStartEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(self._head(message["status"], message.get("headers", ())))

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Raises RuntimeError if a header is invalid."""
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            known = name if name in _plain else self._heed(name, value)
            lines.append(b"%b: %b\r\n" % (known, value))
        if not self.keep_alive and not self._says_close:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(_LINE_END)
        head = b"".join(lines)
        whole = len(lines) == head.count(b"\r") == head.count(b"\n")
        if not whole or len(head.translate(None, _CONTROLS)) != len(head):
            raise RuntimeError("Invalid HTTP header value.")
        return head

    def _heed(self, name: bytes, value: bytes) -> bytes:
        """Notes what the header means for the connection; returns its name as it is sent."""
        if HEADER_RE.search(name):
            raise RuntimeError("Invalid HTTP header name.")
        name = name.lower()
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
        elif name == b"transfer-encoding":
            if value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
        elif name == b"connection":
            if b"close" in (token.strip() for token in value.lower().split(b",")):
                self.keep_alive = False
                self._says_close = True
        elif len(_plain) < _PLAIN_MAX:
            _plain.add(name)
        return name
