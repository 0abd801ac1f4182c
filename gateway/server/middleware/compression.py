"""GZip for responses that are worth compressing, by Starlette's responder, which is entered only for those.

This is decided from the head of a response: most state their length there, and small ones are passed on unchanged.
"""

import re
from collections.abc import Awaitable
from typing import Final

from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SEEN_TO: Final = "tidegate.compressed"

_LEVEL: Final = 5
"""Of 9. Beyond it, JSON and CSV hardly get any smaller, but take up to three times as long."""

_WITHOUT_BODY: Final = frozenset({204, 304})

# RFC 9110, 12.5.3: a quality of 0 means "not acceptable".
_GZIP: Final = re.compile(
    rb"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE
)


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether an Accept-Encoding header accepts gzip."""
    return accept_encoding == b"gzip" or _GZIP.search(accept_encoding) is not None


def is_compressed(scope: Scope) -> None:
    """Sends the response to this request unchanged, because it is already encoded."""
    scope[_SEEN_TO] = True


class Compressed:
    """Compresses responses of `min_bytes` or more, and streams, for clients that accept it; never event streams."""

    def __init__(self, app: ASGIApp, *, min_bytes: int) -> None:
        self._app = app
        self._min_bytes = min_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        forward = send

        def send_compressed(message: Message) -> Awaitable[None]:
            nonlocal forward
            if message["type"] == "http.response.start" and _SEEN_TO not in scope and not self._is_small(message):
                responder = self._responder(scope)
                responder.send = send
                forward = responder.send_with_compression
            return forward(message)

        return self._app(scope, receive, send_compressed)

    def _is_small(self, start: Message) -> bool:
        for name, value in start["headers"]:
            if name == b"content-length":
                return int(value) < self._min_bytes
        return start["status"] in _WITHOUT_BODY

    def _responder(self, scope: Scope) -> IdentityResponder:
        """The responder that compresses, or the one that does not; both send `Vary: Accept-Encoding`."""
        for name, value in scope["headers"]:
            if name == b"accept-encoding" and accepts_gzip(value):
                return GZipResponder(self._app, self._min_bytes, compresslevel=_LEVEL)
        return IdentityResponder(self._app, self._min_bytes)
