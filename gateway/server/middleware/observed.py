"""Adds to every response an id to find it by, how long it took, and the headers that tell browsers how to treat it."""

import re
import time
from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits.policy import fields
from gateway.server.fastlane import FAST_ROUTE
from gateway.server.middleware.security import security_headers
from runtime import logs
from runtime.entropy import random_bits
from runtime.metrics import OTHER, REQUEST_SECONDS, exemplars

_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")
_REQUEST_ID: Final = b"x-request-id"
_PROCESS_TIME: Final = b"x-process-time"
_CACHE_CONTROL: Final = b"cache-control"
_NO_STORE: Final = (_CACHE_CONTROL, b"no-store")

# The ids of slower requests are noted as exemplars.
_SLOW_SECONDS: Final = 0.05

_OF_FILES: Final = frozenset({"GET"})


class Observed:
    """Adds X-Request-ID (the client's own, if it sent a valid one), X-Process-Time (seconds until the response began),
    the security headers, and the rate limit headers; measures by route and status. Unless a response says otherwise, it
    must not be cached: most are personal, contain a secret, or are a temporary error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == _REQUEST_ID and _ID.match(value):
                request_id = value
                break
        else:
            request_id = b"%016x%016x" % (random_bits(), random_bits())
        logs.note(request_id=request_id)
        started = time.perf_counter()
        status = 500

        def send_observed(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                seconds = b"%.6f" % (time.perf_counter() - started)
                headers = message["headers"]
                for name, _ in headers:
                    if name == _CACHE_CONTROL:
                        break
                else:
                    headers.append(_NO_STORE)
                headers += ((_REQUEST_ID, request_id), (_PROCESS_TIME, seconds), *security_headers(scope))
                headers += fields(scope)
            return send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            seconds = time.perf_counter() - started
            measured = REQUEST_SECONDS.labels(method_of(scope), route_of(scope), str(status))
            measured.observe(seconds)
            if seconds > _SLOW_SECONDS:
                exemplars.note(measured, seconds, request_id=request_id.decode())


def route_of(scope: Scope) -> str:
    """The template of the route that answered the request."""
    return str(scope.get(FAST_ROUTE) or getattr(scope.get("route"), "path", OTHER))


def method_of(scope: Scope) -> str:
    """The request's method if its route has it, otherwise `other`, since clients may send anything."""
    method: str = scope["method"]
    if FAST_ROUTE in scope:
        return method
    methods = getattr(scope.get("route"), "methods", None) or _OF_FILES
    return method if method in methods else OTHER
