"""JSON Web Tokens (RFC 7519), signed with the installation's keys (see `runtime/signing_keys.py`).

An access token names a subject, its roles and, if issued by a sign-in, its scopes, session and epoch. A refresh token
has another audience, so that neither can be used as the other. Anyone with the keys can mint tokens, as the CLI and the
load tests do; the gateway verifies them.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import jwt

from runtime.signing_keys import KeyRing

ISSUER: Final = "tidegate"
AUDIENCE: Final = "tidegate"
REFRESH_AUDIENCE: Final = "tidegate:refresh"
CONFIRM_AUDIENCE: Final = "tidegate:confirm"
RESET_AUDIENCE: Final = "tidegate:reset"
DEVELOPMENT: Final = "development"
"""The claim `mode` of a token that was minted in development."""

CLOCKS_APART_SECONDS: Final = 5
"""How far the minting machine's clock may be ahead of ours. The gateway checks expiry itself, to the second."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Refresh(NamedTuple):
    """The contents of a refresh token."""

    session_id: UUID
    account_id: UUID
    generation: int


class Link(NamedTuple):
    """The contents of the token in a mailed link, which is valid while the account is at this epoch."""

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
    """A signed access token for `subject`, valid from `now` (Unix seconds, by default the current time) for
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
    """An access token for a session."""
    more = {"scope": " ".join(sorted(scopes)), "sid": str(session_id), "epoch": epoch}
    return mint(keys, str(account_id), [role], lifetime_seconds=lifetime_seconds, more=more)


def mint_refresh(keys: KeyRing, refresh: Refresh, expires_at: datetime) -> str:
    """A refresh token, which expires with its session."""
    claims = {
        "sub": str(refresh.account_id),
        "sid": str(refresh.session_id),
        "gen": refresh.generation,
        "exp": int(expires_at.timestamp()),
    }
    return _signed(keys, claims, REFRESH_AUDIENCE, int(time.time()))


def mint_link(keys: KeyRing, audience: str, link: Link, *, issued_at: int, lifetime_seconds: int) -> str:
    """The token of a link; minting it again with the same `issued_at` (Unix seconds) yields the same token."""
    claims = {"sub": str(link.account_id), "epoch": link.epoch, "exp": issued_at + lifetime_seconds}
    return _signed(keys, claims, audience, issued_at)


def link_of(token: str, keys: KeyRing, audience: str) -> Link:
    """The contents of a link's token. Raises jwt.InvalidTokenError unless it is valid."""
    claims = _verified(token, keys, audience)
    try:
        link = Link(UUID(claims["sub"]), claims["epoch"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise jwt.InvalidTokenError("no link of ours") from None
    if not isinstance(link.epoch, int):
        raise jwt.InvalidTokenError("no link of ours")
    return link


def claims_of(token: str, keys: KeyRing) -> dict[str, Any]:
    """The claims of an access token. Raises jwt.InvalidTokenError if it is invalid, expired or forged."""
    return _verified(token, keys, AUDIENCE)


def refresh_of(token: str, keys: KeyRing) -> Refresh:
    """The contents of a refresh token. Raises jwt.InvalidTokenError unless it is valid."""
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
    """The key id in a token's header. All tokens of a key have the same header, and parsing it takes the library a
    third of the time of verifying a token."""
    return jwt.get_unverified_header(f"{header}..").get("kid")


def _verified(token: str, keys: KeyRing, audience: str) -> dict[str, Any]:
    key = keys.find(_kid(token.partition(".")[0]))
    if key is None:
        raise jwt.InvalidTokenError("signed with an unknown key")
    claims: dict[str, Any] = jwt.decode(
        token,
        key.verifies,
        algorithms=[key.algorithm],  # the key's own, whatever the token says
        audience=audience,
        issuer=ISSUER,
        leeway=CLOCKS_APART_SECONDS,
        options={"require": ["exp", "iat", "sub"]},
    )
    if claims.get("mode") == DEVELOPMENT and not keys.development:
        raise jwt.InvalidTokenError("made in development")
    return claims
