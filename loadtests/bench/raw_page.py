"""The least a Python server can do for a page of products: a bare ASGI app that answers every request with 200 and as
many bytes as the gateway's page has.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

BODY_BYTES_VARIABLE: Final = "TIDEGATE_BENCH_BODY_BYTES"

Message = MutableMapping[str, Any]

_BODY: Final = b" " * int(os.environ.get(BODY_BYTES_VARIABLE, "0"))
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answers every HTTP request alike. It has no lifespan."""
    assert scope["type"] == "http", "for HTTP only"
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
