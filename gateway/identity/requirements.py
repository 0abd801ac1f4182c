"""What a route requires of its caller, as a dependency of FastAPI's."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from domain.roles import ROLES
from gateway.identity.authenticator import Authenticator
from gateway.identity.caller import NOBODY, NOBODY_ROLE, Caller, bearer_token
from gateway.web.problems import Problem

TOKEN_IN_QUERY: Final = "token"  # noqa: S105 - its name, not its value
"""The query parameter for a token, where it is allowed."""

_RANK: Final = {role: rank for rank, role in enumerate((NOBODY_ROLE, *ROLES))}


class Requirement:
    """What a route requires of its caller: at least `role`, and `scope` if it names one. A FastAPI dependency."""

    def __init__(self, role: str, scope: str | None = None, *, also_in_query: bool = False) -> None:
        self.role = role
        self.scope = scope
        self._also_in_query = also_in_query

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises a 401 or 403 Problem, and for an API key not yet known here what a view raises."""
        authenticator: Authenticator = request.app.state.edge.authenticator
        headers = request.headers
        if self.role == NOBODY_ROLE and "authorization" not in headers:
            return NOBODY
        token = request.query_params.get(TOKEN_IN_QUERY) if self._also_in_query else None
        caller = await authenticator.authenticate(bearer_token(headers) if token is None else token)
        self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Raises a 403 Problem if the caller lacks the role or the scope."""
        if _RANK[caller.actor.role] < _RANK[self.role]:
            raise Problem("forbidden", f"This needs the role `{self.role}`.")
        if self.scope is not None and self.scope not in caller.actor.scopes:
            raise Problem("forbidden", f"This needs the scope `{self.scope}`.")


def require_role(role: str, scope: str | None = None, *, also_in_query: bool = False) -> Requirement:
    """For `Annotated[Caller, Depends(require_role("staff", "inventory:write"))]`. Roles include those below them:
    nobody (no token needed), guest, customer, staff, admin. `also_in_query` is for requests on which browsers cannot
    set a header: the token may then be in `?token=`, which ends up in histories and proxy logs."""
    return Requirement(role, scope, also_in_query=also_in_query)
