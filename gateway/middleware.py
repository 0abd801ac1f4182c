"""Around every request: an id to find it by, and how long it took. Pure ASGI; Starlette's helper class is slow and
breaks streaming."""

import re
import time
import uuid
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.metrics import REQUEST_SECONDS

_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")
_HEADER: Final = b"x-request-id"


class Observed:
    """Answers with X-Request-ID (the client's own, if it sent a decent one) and measures by route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = next((value for name, value in scope["headers"] if name == _HEADER and _ID.match(value)), None)
        request_id = request_id or uuid.uuid4().hex.encode()
        started = time.perf_counter()
        status = 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_HEADER, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            REQUEST_SECONDS.labels(scope["method"], route, status).observe(time.perf_counter() - started)
