"""The middleware around the app: pure ASGI, because Starlette's helper class for middleware is slow and breaks
streaming.

`around` is the only entry. A small response pays for one wrapped `send` and a few precomputed headers; the costlier
middleware (compression, CORS) is entered only by requests that need it.
"""

from collections.abc import Iterable
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.server.middleware.compression import Compressed
from gateway.server.middleware.head import HeadAsGet
from gateway.server.middleware.observed import Observed
from gateway.server.middleware.traced import Traced
from gateway.web.surface import Surface
from runtime import tracing
from runtime.settings import Settings

_EXPOSED: Final = ("X-Process-Time", "X-Request-ID")
"""Headers of every response."""


def around(app: ASGIApp, config: Settings, surface: Surface, answered_headers: Iterable[str]) -> ASGIApp:
    """The app with compression, CORS for the origins in the settings (if any), observation, and HEAD.
    `answered_headers` are response headers of single operations, which scripts of other origins may read, too."""
    app = Compressed(app, min_bytes=config.compress_min_bytes)
    if config.cors_origins:
        # Scripts set the token's header themselves, so browsers need not send credentials.
        app = CORSMiddleware(
            app,
            allow_origins=config.cors_origins,
            allow_methods=surface.methods,
            allow_headers=surface.request_headers,
            expose_headers=sorted({*answered_headers, *_EXPOSED}),
        )
    if tracing.is_on():
        app = Traced(app)
    return HeadAsGet(Observed(app), surface.endless)
