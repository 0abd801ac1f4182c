"""Turns bearer tokens into callers. A token is verified once, remembered until it expires, and rejected once it is
revoked.

An access token is checked locally; only an API key that this process has not seen recently is looked up.
"""

import time
from typing import Any, Final
from uuid import UUID

import jwt

from domain.fields.people import PRINCIPAL
from domain.model import Actor
from domain.roles import ROLES, SCOPES_OF_ROLE
from gateway.identity import api_keys
from gateway.identity.api_keys import ApiKeys
from gateway.identity.caller import Caller, invalid_token
from gateway.identity.revocations import Revocations
from gateway.web.problems import Problem
from runtime.signing_keys import KeyRing
from runtime.tokens import claims_of, mint

_LATEST_EXPIRY: Final = 2**53
# How often the remembered results are checked against the current keys.
_LOOK_SECONDS: Final = 1.0


class Authenticator:
    """Verifies tokens. That takes some 30 µs, or 100 µs with key pairs, so a result is kept while it is valid."""

    def __init__(self, keys: KeyRing, revocations: Revocations, api_keys: ApiKeys, *, cache_max_entries: int) -> None:
        self.keys = keys
        self._keys_version = keys.version
        self._revocations = revocations
        self._api_keys = api_keys
        self._cache_max_entries = cache_max_entries
        self._verified: dict[str, Caller] = {}
        self._look_at = 0.0

    def mint(self, subject: str, role: str, *, lifetime_seconds: int, now: float | None = None) -> str:
        """A token without a session: a guest's link. Its lifetime counts from `now` (Unix seconds)."""
        return mint(self.keys, subject, [role], lifetime_seconds=lifetime_seconds, now=now)

    async def authenticate(self, token: str) -> Caller:
        """The caller of a token or API key. Raises a 401 or 403 Problem, and for a key what a view raises."""
        if token.startswith(api_keys.PREFIX):
            return await self._api_keys.verify(token)
        return self.verify(token)

    def verify(self, token: str) -> Caller:
        """The token's caller, and until when. Raises a 401 or 403 Problem."""
        now = time.time()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._forget_old_keys()
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            if len(self._verified) >= self._cache_max_entries:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = verified
        if verified.expires_at <= now:
            self._verified.pop(token, None)
            raise invalid_token("The token has expired.")
        if verified.session_id is not None and self._revocations.refuse(verified):
            raise invalid_token("The session has ended; sign in again.")
        return verified

    def stands(self, caller: Caller) -> bool:
        """Whether the credentials of an earlier caller are still valid."""
        return caller.expires_at > time.time() and not self._revocations.refuse(caller)

    def _forget_old_keys(self) -> None:
        """Drops remembered results if the keys have changed: their tokens must be verified again."""
        self.keys.look()
        if self.keys.version != self._keys_version:
            self._keys_version = self.keys.version
            self._verified.clear()

    def _verify(self, token: str) -> Caller:
        try:
            claims = claims_of(token, self.keys)
        except jwt.ExpiredSignatureError:
            raise invalid_token("The token has expired.") from None
        except jwt.InvalidTokenError:
            raise invalid_token("The token is not valid.") from None
        subject, roles, expires_at = claims["sub"], claims.get("roles"), claims["exp"]
        if not isinstance(expires_at, int | float) or not expires_at <= _LATEST_EXPIRY:
            raise invalid_token("The token's expiry is not a valid time.")
        if not PRINCIPAL.keeps(subject):
            raise invalid_token("The token's subject is not a valid principal.")
        known = [role for role in ROLES if role in roles] if isinstance(roles, list) else []
        if not known:
            raise Problem("forbidden", "The token has no role in this shop.")
        role = known[-1]
        session_id, epoch = _session(claims)
        return Caller(Actor(subject, role, _scopes(claims, role)), float(expires_at), session_id, epoch)


def _scopes(claims: dict[str, Any], role: str) -> frozenset[str]:
    """The token's scopes: all scopes of the role, unless it names fewer (RFC 9068: `scope`, separated by spaces)."""
    scope = claims.get("scope")
    if scope is None:
        return SCOPES_OF_ROLE[role]
    if not isinstance(scope, str):
        raise invalid_token("The token's scope is not a string.")
    return SCOPES_OF_ROLE[role].intersection(scope.split())


def _session(claims: dict[str, Any]) -> tuple[UUID | None, int]:
    """The session that the token belongs to, if it came from a sign-in, and the account's epoch then."""
    if "sid" not in claims:
        return None, 0
    try:
        return UUID(claims["sid"]), int(claims["epoch"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        raise invalid_token("The token's session is not valid.") from None
