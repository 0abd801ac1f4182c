"""Tokens: JSON Web Tokens (RFC 7519), signed with the installation's keys (see `runtime/keys.py`).

An access token names a subject, its roles and, if it came from a sign-in, its scopes, session and epoch. A refresh
token is for another audience, so that neither can be used as the other. Anyone who holds the keys can mint one: the
CLI and the load tests do. The gateway verifies them.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import jwt

from runtime.keys import KeyRing

ISSUER: Final = "tidegate"
AUDIENCE: Final = "tidegate"
REFRESH_AUDIENCE: Final = "tidegate:refresh"
CONFIRM_AUDIENCE: Final = "tidegate:confirm"
RESET_AUDIENCE: Final = "tidegate:reset"
DEVELOPMENT: Final = "development"
"""What the claim `mode` of a token says that was minted in development."""

CLOCKS_APART_SECONDS: Final = 5
"""Whoever mints a token may be ahead of us by so much; how long it is valid is the gateway's to say, to the second."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Refresh(NamedTuple):
    """What a refresh token says."""

    session_id: UUID
    account_id: UUID
    generation: int


class Link(NamedTuple):
    """What the token in a mailed link says: it is good while the account is at this epoch."""

    account_id: UUID
    epoch: int


def mint(
    keys: KeyRing,
    subject: str,
    roles: Sequence[str],
    *,
    lifetime_seconds: int,
    now: float | None = None,
    more: Mapping[str, Any] = _NOTHING,
) -> str:
    """A signed access token for `subject`, valid from `now` (Unix seconds, default: this moment) for
    `lifetime_seconds`; `more` are further claims."""
    issued_at = int(time.time() if now is None else now)
    claims = {"sub": subject, "roles": list(roles), "exp": issued_at + lifetime_seconds, **more}
    return _signed(keys, claims, AUDIENCE, issued_at)


def mint_in_session(
    keys: KeyRing,
    account_id: UUID,
    role: str,
    *,
    session_id: UUID,
    scopes: Iterable[str],
    epoch: int,
    lifetime_seconds: int,
) -> str:
    """An access token of a sign-in."""
    more = {"scope": " ".join(sorted(scopes)), "sid": str(session_id), "epoch": epoch}
    return mint(keys, str(account_id), [role], lifetime_seconds=lifetime_seconds, more=more)


def mint_refresh(keys: KeyRing, refresh: Refresh, expires_at: datetime) -> str:
    """A refresh token; it expires with its session."""
    claims = {
        "sub": str(refresh.account_id),
        "sid": str(refresh.session_id),
        "gen": refresh.generation,
        "exp": int(expires_at.timestamp()),
    }
    return _signed(keys, claims, REFRESH_AUDIENCE, int(time.time()))


def mint_link(keys: KeyRing, audience: str, link: Link, *, issued_at: int, lifetime_seconds: int) -> str:
    """The token of a link; minted again at the same moment (Unix seconds) it is the same."""
    claims = {"sub": str(link.account_id), "epoch": link.epoch, "exp": issued_at + lifetime_seconds}
    return _signed(keys, claims, audience, issued_at)


def link_of(token: str, keys: KeyRing, audience: str) -> Link:
    """What a valid link's token says. Raises jwt.InvalidTokenError for every other."""
    claims = _verified(token, keys, audience)
    try:
        link = Link(UUID(claims["sub"]), claims["epoch"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise jwt.InvalidTokenError("no link of ours") from None
    if not isinstance(link.epoch, int):
        raise jwt.InvalidTokenError("no link of ours")
    return link


def claims_of(token: str, keys: KeyRing) -> dict[str, Any]:
    """The claims of a valid access token. Raises jwt.InvalidTokenError for every other: expired, forged, ..."""
    return _verified(token, keys, AUDIENCE)


def refresh_of(token: str, keys: KeyRing) -> Refresh:
    """What a valid refresh token says. Raises jwt.InvalidTokenError for every other."""
    claims = _verified(token, keys, REFRESH_AUDIENCE)
    if claims["exp"] <= time.time():
        raise jwt.ExpiredSignatureError("Signature has expired")
    try:
        refresh = Refresh(UUID(claims["sid"]), UUID(claims["sub"]), claims["gen"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise jwt.InvalidTokenError("no refresh token of ours") from None
    if not isinstance(refresh.generation, int):
        raise jwt.InvalidTokenError("no refresh token of ours")
    return refresh


def _signed(keys: KeyRing, claims: dict[str, Any], audience: str, issued_at: int) -> str:
    key = keys.signer
    claims = {"iss": ISSUER, "aud": audience, "iat": issued_at, **claims}
    if keys.development:
        claims["mode"] = DEVELOPMENT
    headers = None if key.kid is None else {"kid": key.kid}
    return jwt.encode(claims, key.signs, algorithm=key.algorithm, headers=headers)


@lru_cache(maxsize=64)
def _kid(header: str) -> Any:
    """The key that a token's header names. All tokens of a key have the same one, and to read it takes the library as
    long as a third of all that is verified."""
    return jwt.get_unverified_header(f"{header}..").get("kid")


def _verified(token: str, keys: KeyRing, audience: str) -> dict[str, Any]:
    key = keys.find(_kid(token.partition(".")[0]))
    if key is None:
        raise jwt.InvalidTokenError("signed with a key that is not ours")
    claims: dict[str, Any] = jwt.decode(
        token,
        key.verifies,
        algorithms=[key.algorithm],  # the key's own: the token has no say in it
        audience=audience,
        issuer=ISSUER,
        leeway=CLOCKS_APART_SECONDS,
        options={"require": ["exp", "iat", "sub"]},
    )
    if claims.get("mode") == DEVELOPMENT and not keys.development:
        raise jwt.InvalidTokenError("made in development")
    return claims
