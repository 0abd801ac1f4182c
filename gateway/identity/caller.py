"""The caller: who is asking, in what role, and until when; and the 401s for missing or invalid credentials."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from domain.disclosure import may_see_drafts
from domain.model import Actor
from gateway.web.problems import Problem

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="tidegate"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="tidegate", error="invalid_token"'}
_SCHEME: Final = "bearer "
NOBODY_ROLE: Final = "nobody"


class Caller(NamedTuple):
    """The authenticated actor, and when its credentials expire (Unix seconds); for a sign-in, the session and the
    account's epoch at that time; for an API key, its id."""

    actor: Actor
    expires_at: float
    session_id: UUID | None = None
    epoch: int = 0
    key_id: UUID | None = None

    @property
    def sees_drafts(self) -> bool:
        """Whether they may see the whole catalogue, not only what is public."""
        return self.actor.is_staff and may_see_drafts(self.actor.scopes)


NOBODY: Final = Caller(Actor("", NOBODY_ROLE, frozenset()), float("inf"))
"""The caller of a request without a token, where that is allowed."""


def unauthenticated(detail: str) -> Problem:
    """The 401 for a request without credentials."""
    return Problem("unauthenticated", detail, headers=_CHALLENGE)


def invalid_token(detail: str) -> Problem:
    """The 401 for an invalid token or key (RFC 6750)."""
    return Problem("invalid_token", detail, headers=_INVALID)


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header. Raises a 401 Problem if there is none."""
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise unauthenticated("Send a bearer token in the Authorization header.")
    return authorization[len(_SCHEME) :].strip()
