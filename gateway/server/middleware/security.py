"""Security headers: they tell browsers that a response is data, not to be run, framed or sniffed.

The headers are precomputed; pages of ours that run scripts declare that with `lets_run`.
"""

from typing import Final

from starlette.types import Scope

RawHeaders = tuple[tuple[bytes, bytes], ...]

_POLICY_OF_SCOPE: Final = "tidegate.content-security-policy"

_ALWAYS: Final[RawHeaders] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DATA: Final[RawHeaders] = (*_ALWAYS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))

# A year. Sent only over https; over http, browsers ignore it (RFC 6797, 7.2).
_ONLY_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")
_DATA_HTTPS: Final[RawHeaders] = (*_DATA, _ONLY_HTTPS)


def lets_run(scope: Scope, policy: bytes) -> None:
    """Gives the response to this request a Content-Security-Policy of its own."""
    scope[_POLICY_OF_SCOPE] = policy


def security_headers(scope: Scope) -> RawHeaders:
    """The headers for the response to this request."""
    policy = scope.get(_POLICY_OF_SCOPE)
    secure = scope["scheme"] == "https"
    if policy is None:
        return _DATA_HTTPS if secure else _DATA
    headers = (*_ALWAYS, (b"content-security-policy", policy))
    return (*headers, _ONLY_HTTPS) if secure else headers
