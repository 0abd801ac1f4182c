"""Access tokens: JSON Web Tokens (RFC 7519), HS256, with a subject and its roles.

Anyone who holds the secret can mint one: the CLI and the load tests do. The gateway verifies them.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import jwt

ALGORITHM: Final = "HS256"
ISSUER: Final = "tidegate"
AUDIENCE: Final = "tidegate"
CLOCKS_APART_SECONDS: Final = 5
"""Whoever mints a token may be ahead of us by so much; how long it is valid is the gateway's to say, to the second."""
ROLES: Final = ("guest", "customer", "staff", "admin")
"""Each includes those before it."""

_GUEST_SCOPES: Final = frozenset({"orders:read", "orders:write"})
_STAFF_SCOPES: Final = _GUEST_SCOPES | {
    "inventory:read",
    "inventory:write",
    "events:read",
    "reports:write",
    "exports:read",
    "webhooks:write",
}
SCOPES_OF_ROLE: Final = {
    "guest": _GUEST_SCOPES,
    "customer": _GUEST_SCOPES | {"profile:write"},
    "staff": _STAFF_SCOPES | {"profile:write"},
    "admin": _STAFF_SCOPES | {"profile:write", "catalogue:write", "imports:write", "users:write", "keys:write"},
}
"""What each role may do at most. A token or key may carry fewer, never more."""


def mint(secret: str, subject: str, roles: Sequence[str], *, lifetime_seconds: int, now: float | None = None) -> str:
    """A signed token for `subject`, valid from `now` (Unix seconds, default: this moment) for `lifetime_seconds`."""
    issued_at = int(time.time() if now is None else now)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "roles": list(roles),
        "iat": issued_at,
        "exp": issued_at + lifetime_seconds,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def claims_of(token: str, secret: str) -> dict[str, Any]:
    """The claims of a valid token. Raises jwt.InvalidTokenError for every other: expired, forged, `alg: none`, ..."""
    return jwt.decode(
        token,
        secret,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=CLOCKS_APART_SECONDS,
        options={"require": ["exp", "iat", "sub"]},
    )
