"""A span around every request, as a child of the one that its headers name."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.server.middleware.observed import method_of, route_of
from runtime import tracing

# Polled by machines every few seconds.
_NOT_TRACED = ("/health/", "/metrics")


class Traced:
    """Spans of the kind `server`, named after the method and the route's template. Not installed while traces are
    off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_NOT_TRACED):
            await self._app(scope, receive, send)
            return
        parent = tracing.received(scope["headers"])
        with tracing.span("request", "server", parent=parent, url__scheme=scope["scheme"]) as span:
            assert span is not None, "traces were turned off, but not the middleware"

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_traced)
            finally:
                method, route = method_of(scope), route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.request.method": method, "http.route": route})
