"""Who is asking, and what a route requires of them. How a token becomes a caller is `gateway/authenticator.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from fastapi import Request

from domain.disclosure import may_see_drafts
from domain.model import Who
from domain.roles import ROLES
from gateway.problems import Problem

if TYPE_CHECKING:
    from gateway.authenticator import Authenticator

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="tidegate"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="tidegate", error="invalid_token"'}
_SCHEME: Final = "bearer "

TOKEN_IN_QUERY: Final = "token"  # noqa: S105 - its name, not its value
"""The part of a query that holds a token, where it may."""

NOBODY_ROLE: Final = "nobody"
_RANK: Final = {role: rank for rank, role in enumerate((NOBODY_ROLE, *ROLES))}


class Caller(NamedTuple):
    """Who asks, as what, until when (Unix seconds); if it was a sign-in, by which session and at which epoch of the
    account; if it was an API key, by which."""

    who: Who
    role: str
    scopes: frozenset[str]
    expires_at: float
    session_id: UUID | None = None
    epoch: int = 0
    key_id: UUID | None = None

    @property
    def sees_drafts(self) -> bool:
        """Whether all of the catalogue is for them, and not only what is public."""
        return self.who.staff and may_see_drafts(self.scopes)


NOBODY: Final = Caller(Who("", staff=False), NOBODY_ROLE, frozenset(), float("inf"))
"""A caller without a token, where that is allowed."""


class Requirement:
    """What a route requires of its caller: at least `role`, and `scope` if it names one. A FastAPI dependency."""

    def __init__(self, role: str, scope: str | None = None, *, also_in_query: bool = False) -> None:
        self.role = role
        self.scope = scope
        self._also_in_query = also_in_query

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises a 401 or 403 Problem, and for an API key that is new here what a view raises."""
        authenticator: Authenticator = request.app.state.edge.authenticator
        headers = request.headers
        if self.role == NOBODY_ROLE and "authorization" not in headers:
            return NOBODY
        token = request.query_params.get(TOKEN_IN_QUERY) if self._also_in_query else None
        caller = await authenticator.authenticate(bearer_token(headers) if token is None else token)
        self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Raises a 403 Problem if the caller may not."""
        if _RANK[caller.role] < _RANK[self.role]:
            raise Problem("forbidden", f"This needs the role `{self.role}`.")
        if self.scope is not None and self.scope not in caller.scopes:
            raise Problem("forbidden", f"This needs the scope `{self.scope}`.")


def require_role(role: str, scope: str | None = None, *, also_in_query: bool = False) -> Requirement:
    """For `Annotated[Caller, Depends(require_role("staff", "inventory:write"))]`. Roles include those below them:
    nobody (no token needed), guest, customer, staff, admin. `also_in_query` is for what browsers can send no header
    with: the token may then be in `?token=`, which gets into histories and into proxies' logs."""
    return Requirement(role, scope, also_in_query=also_in_query)


def unauthenticated(detail: str) -> Problem:
    """The 401 for somebody who did not say who they are."""
    return Problem("unauthenticated", detail, headers=_CHALLENGE)


def invalid_token(detail: str) -> Problem:
    """The 401 for a token or key that is not good (RFC 6750)."""
    return Problem("invalid_token", detail, headers=_INVALID)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises a 401 Problem if there is none."""
    authorization = headers.get("authorization")
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise unauthenticated("Send a bearer token in the Authorization header.")
    return authorization[len(_SCHEME) :].strip()
