"""Who is asking: bearer tokens, verified once and remembered until they expire; and what a route requires of them."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

import jwt
from fastapi import Request

from domain.limits import PRINCIPAL_MAX_CHARS
from domain.model import Who
from gateway.problems import Problem
from runtime.tokens import ROLES, SCOPES_OF_ROLE, claims_of

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="tidegate"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="tidegate", error="invalid_token"'}
_LATEST_EXPIRY: Final = 2**53
_SCHEME: Final = "bearer "

NOBODY_ROLE: Final = "nobody"
_RANK: Final = {role: rank for rank, role in enumerate((NOBODY_ROLE, *ROLES))}


class Caller(NamedTuple):
    """Who asks, as what, until when (Unix seconds), and by which session if it was a sign-in."""

    who: Who
    role: str
    scopes: frozenset[str]
    expires_at: float
    session_id: UUID | None = None


NOBODY: Final = Caller(Who("", staff=False), NOBODY_ROLE, frozenset(), float("inf"))
"""A caller without a token, where that is allowed."""


class Requirement:
    """What a route requires of its caller: at least `role`, and `scope` if it names one. A FastAPI dependency."""

    def __init__(self, role: str, scope: str | None = None) -> None:
        self.role = role
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises a 401 or 403 Problem."""
        authenticator: Authenticator = request.app.state.edge.authenticator
        headers = request.headers
        if self.role == NOBODY_ROLE and "authorization" not in headers:
            return NOBODY
        caller = authenticator.verify(bearer_token(headers))
        self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Raises a 403 Problem if the caller may not."""
        if _RANK[caller.role] < _RANK[self.role]:
            raise Problem("forbidden", f"This needs the role `{self.role}`.")
        if self.scope is not None and self.scope not in caller.scopes:
            raise Problem("forbidden", f"This needs the scope `{self.scope}`.")


def require_role(role: str, scope: str | None = None) -> Requirement:
    """For `Annotated[Caller, Depends(require_role("staff", "inventory:write"))]`. Roles include those below them:
    nobody (no token needed), guest, customer, staff, admin."""
    return Requirement(role, scope)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises a 401 Problem if there is none."""
    authorization = headers.get("authorization")
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise Problem("unauthenticated", "Send a bearer token in the Authorization header.", headers=_CHALLENGE)
    return authorization[len(_SCHEME) :].strip()


class Authenticator:
    """Turns tokens into callers. Verifying one costs some 30 µs, so the result is kept while it is valid."""

    def __init__(self, secret: str, *, cache_max_entries: int) -> None:
        self._secret = secret
        self._cache_max_entries = cache_max_entries
        self._verified: dict[str, Caller] = {}

    def verify(self, token: str) -> Caller:
        """Whose token it is, and until when. Raises a 401 or 403 Problem."""
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            if len(self._verified) >= self._cache_max_entries:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = verified
        if verified.expires_at <= time.time():
            self._verified.pop(token, None)
            raise Problem("invalid_token", "The token has expired.", headers=_INVALID)
        return verified

    def _verify(self, token: str) -> Caller:
        try:
            claims = claims_of(token, self._secret)
        except jwt.ExpiredSignatureError:
            raise Problem("invalid_token", "The token has expired.", headers=_INVALID) from None
        except jwt.InvalidTokenError:
            raise Problem("invalid_token", "The token is not valid.", headers=_INVALID) from None
        subject, roles, expires_at = claims["sub"], claims.get("roles"), claims["exp"]
        if not isinstance(expires_at, int | float) or not expires_at <= _LATEST_EXPIRY:
            raise Problem("invalid_token", "The token's expiry is no time.", headers=_INVALID)
        if not 1 <= len(subject) <= PRINCIPAL_MAX_CHARS or not subject.isprintable():
            raise Problem("invalid_token", "The token's subject is no principal of ours.", headers=_INVALID)
        known = [role for role in ROLES if role in roles] if isinstance(roles, list) else []
        if not known:
            raise Problem("forbidden", "The token has no role here.")
        role = known[-1]
        return Caller(Who(subject, _RANK[role] >= _RANK["staff"]), role, SCOPES_OF_ROLE[role], float(expires_at))
