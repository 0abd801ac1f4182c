"""What stands around the app: pure ASGI, because Starlette's helper class for middleware is slow and breaks streaming.

`around` is the only way in. A small answer pays for one wrapped `send` and a few headers that are made beforehand;
what costs more (compressing, CORS) is entered only by the requests that ask for it.
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
"""Headers of every answer."""


def around(app: ASGIApp, config: Settings, surface: Surface, answered_headers: Iterable[str]) -> ASGIApp:
    """The app, compressed, shared with the origins of the settings if there are any, observed, and with HEAD.
    `answered_headers` are those of single operations, which scripts of other origins may read as well."""
    app = Compressed(app, min_bytes=config.compress_min_bytes)
    if config.cors_origins:
        # Tokens come in a header that scripts set themselves, so no browser need be trusted with credentials.
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
