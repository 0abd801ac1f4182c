"""What stands around the app: pure ASGI, because Starlette's helper class for middleware is slow and breaks streaming.

`around` is the only way in. A small answer pays for one wrapped `send` and a few headers that are made beforehand;
what costs more (compressing, CORS) is entered only by the requests that ask for it.
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.middleware.compression import Compressed
from gateway.middleware.observed import Observed
from runtime.settings import Settings

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "X-Request-ID")
_SHOWN = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Process-Time",
    "X-Request-ID",
    "X-Total-Count",
)


def around(app: ASGIApp, config: Settings) -> ASGIApp:
    """The app, compressed, shared with the origins of the settings if there are any, and observed."""
    app = Compressed(app, min_bytes=config.compress_min_bytes)
    if config.cors_origins:
        # Tokens come in a header that scripts set themselves, so no browser need be trusted with credentials.
        app = CORSMiddleware(
            app,
            allow_origins=config.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_SHOWN,
        )
    return Observed(app)
