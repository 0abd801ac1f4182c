"""HTTP/1.1 as uvicorn speaks it, with a bound on a request's head, which httptools has none for.

`uvicorn --http gateway.http1:BoundedHttp`. Bodies have their bound in `gateway.requests`, where it can be told nicely.
"""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX_BYTES: Final = 65_536
"""Request line and headers together; looked at whenever more arrives, so one read (some 256 KiB) may come on top."""

_PROBLEM: Final = (
    b'{"type":"urn:tidegate:problem:head_too_large","title":"Head too large","status":431,'
    b'"detail":"Request line and headers have at most 65536 bytes.","code":"head_too_large"}'
)
_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
) % (len(_PROBLEM), _PROBLEM)


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 and closes the connection when a head grows beyond its bound."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self.transport.write(_ANSWER)
            self.transport.close()
            return
        self._head_bytes += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()
