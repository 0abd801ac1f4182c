"""Who is asking: bearer tokens, verified once and remembered until they expire."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import jwt

from domain.limits import PRINCIPAL_MAX_CHARS
from domain.model import Who
from gateway.problems import Problem
from runtime.tokens import ROLES, claims_of

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="tidegate"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="tidegate", error="invalid_token"'}
_LATEST_EXPIRY: Final = 2**53
_SCHEME: Final = "bearer "


class Verified(NamedTuple):
    """A token that holds, until `expires_at` (Unix seconds)."""

    who: Who
    expires_at: float


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises a 401 Problem if there is none."""
    authorization = headers.get("authorization")
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise Problem("unauthenticated", "Send a bearer token in the Authorization header.", headers=_CHALLENGE)
    return authorization[len(_SCHEME) :].strip()


class Authenticator:
    """Turns tokens into principals. Verifying one costs some 30 µs, so the result is kept while it is valid."""

    def __init__(self, secret: str, *, cache_max_entries: int) -> None:
        self._secret = secret
        self._cache_max_entries = cache_max_entries
        self._verified: dict[str, Verified] = {}

    def who(self, headers: Mapping[str, str]) -> Who:
        """The principal of a request. Raises a 401 or 403 Problem."""
        return self.verify(bearer_token(headers)).who

    def staff(self, headers: Mapping[str, str]) -> Who:
        """The principal, who must be staff."""
        who = self.who(headers)
        if not who.staff:
            raise Problem("forbidden", "This needs the role `staff`.")
        return who

    def verify(self, token: str) -> Verified:
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

    def _verify(self, token: str) -> Verified:
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
        return Verified(Who(subject, "staff" in known), float(expires_at))
