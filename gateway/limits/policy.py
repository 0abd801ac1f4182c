"""Policies: quotas, and their headers for clients (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from starlette.types import Scope

_STANDINGS: Final = "tidegate.standings"

RawHeaders = tuple[tuple[bytes, bytes], ...]

# The share of a burst that a process may let through before it asks Redis, while the bucket is full enough.
_CREDIT_SHARE: Final = 1 / 64


class Policy:
    """A quota: `burst` requests at once, and `per_second` in the long run. `name` is its name for clients, in the
    metrics and in Redis. For an `exact` one Redis is asked each time, because it is small, or because tokens are
    sometimes given back. `said` is its item in RateLimit-Policy, and `standing` the template of its item in
    RateLimit."""

    __slots__ = ("burst", "credit", "exact", "name", "per_second", "said", "standing")

    def __init__(self, name: str, per_second: float, burst: int, *, exact: bool = False) -> None:
        self.name = name
        self.per_second = per_second
        self.burst = burst
        self.exact = exact
        self.credit = 0 if exact else int(burst * _CREDIT_SHARE)
        self.standing = b'"%s";r=%%d;t=%%d' % name.encode()
        self.said = b'"%s";q=%d;w=%d' % (name.encode(), burst, math.ceil(burst / per_second))

    def seconds_until(self, tokens: float, left: float) -> int:
        """Whole seconds until this many tokens are there."""
        return max(0, math.ceil((tokens - left) / self.per_second))


class Standing(NamedTuple):
    """The result of counting a request by a policy: whether it is let in, and the tokens that are left."""

    policy: Policy
    granted: bool
    left: float

    @property
    def retry_after(self) -> int:
        """Whole seconds until the next request is let in."""
        return max(1, self.policy.seconds_until(1, self.left))

    def said(self) -> bytes:
        """Its item in RateLimit. `t` is when the whole quota is available again; for a rejected request, when to
        retry."""
        policy, granted, left = self
        if not granted:
            return policy.standing % (0, self.retry_after)
        return policy.standing % (max(0, left), math.ceil((policy.burst - left) / policy.per_second))


def note(scope: Scope, standing: Standing) -> None:
    """Notes a standing for the headers of this request's response; a later one by the same policy replaces it."""
    scope.setdefault(_STANDINGS, {})[standing.policy.name] = standing


def fields(scope: Scope) -> RawHeaders:
    """The rate limit headers for the response to this request; none if no limit applies."""
    noted = scope.get(_STANDINGS)
    if noted is None:
        return ()
    standings = noted.values()
    return (
        (b"ratelimit-policy", b", ".join([standing.policy.said for standing in standings])),
        (b"ratelimit", b", ".join([standing.said() for standing in standings])),
    )
