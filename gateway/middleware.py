"""Around every request: an id to find it by, and how long it took. Pure ASGI; Starlette's helper class is slow and
breaks streaming."""

import re
import time
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fastlane import FAST_ROUTE
from runtime.entropy import random_bits
from runtime.metrics import REQUEST_SECONDS

_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")
_HEADER: Final = b"x-request-id"


class Observed:
    """Answers with X-Request-ID (the client's own, if it sent a decent one) and measures by route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Looking a labelled metric up costs more than counting with it; routes and statuses are few.
        self._seconds: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = next((value for name, value in scope["headers"] if name == _HEADER and _ID.match(value)), None)
        header = (_HEADER, request_id or b"%016x%016x" % (random_bits(), random_bits()))
        started = time.perf_counter()
        status = 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append(header)
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or scope.get(FAST_ROUTE, "unknown")
        key = (scope["method"], route, status)
        metric = self._seconds.get(key)
        if metric is None:
            metric = self._seconds[key] = REQUEST_SECONDS.labels(*key)
        metric.observe(seconds)
