"""The least a Python server can do: a bare ASGI app that reads a request's body and answers 202 with fixed JSON.

It is the ceiling of what the gateway could accept on the same uvicorn. It checks nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]

_BODY: Final = b'{"id":"01936c3e-0000-7000-8000-000000000000","command_id":"01936c3e-0000-7000-8000-000000000001"}'
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answers every HTTP request alike. It has no lifespan."""
    assert scope["type"] == "http", "for HTTP only"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
