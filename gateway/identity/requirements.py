"""What a route requires of its caller, as a FastAPI dependency."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.dependencies.models import Dependant

from domain.roles import ROLES
from gateway.identity.authenticator import Authenticator
from gateway.identity.caller import NOBODY, NOBODY_ROLE, Caller, bearer_token
from gateway.limits.requests import Limits
from gateway.web.headers import header
from gateway.web.problems import Problem
from gateway.web.queries import only_known

TOKEN_IN_QUERY: Final = "token"  # noqa: S105 - its name, not its value
"""The query parameter for a token, where it is allowed."""

_RANK: Final = {role: rank for rank, role in enumerate((NOBODY_ROLE, *ROLES))}


class Requirement:
    """What a route requires of its caller: at least `role`, and `scope` if given. As a FastAPI dependency, it also
    counts the request towards the caller's limits, if it is `limited`."""

    def __init__(
        self, role: str, scope: str | None = None, *, also_in_query: bool = False, limited: bool = True
    ) -> None:
        self.role = role
        self.scope = scope
        self.limited = limited
        self._also_in_query = also_in_query

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises a 401, 403 or 429 Problem; for an API key that has to be looked up, also what a view
        raises."""
        edge, authorization = request.app.state["edge"], header(request, b"authorization")
        limits: Limits = edge.limits
        authenticator: Authenticator = edge.authenticator
        if self.role == NOBODY_ROLE and authorization is None:
            if self.limited:
                await limits.count(request.scope, None)
            return NOBODY
        try:
            token = request.query_params.get(TOKEN_IN_QUERY) if self._also_in_query else None
            caller = await authenticator.authenticate(bearer_token(authorization) if token is None else token)
        except Problem:
            if self.limited:
                await limits.count(request.scope, None)
            raise
        if self.limited:
            await limits.count(request.scope, caller.actor)
        self.check(caller)
        return caller

    def check(self, caller: Caller) -> None:
        """Raises a 403 Problem if the caller lacks the role or the scope."""
        if _RANK[caller.actor.role] < _RANK[self.role]:
            raise Problem("forbidden", f"This needs the role `{self.role}`.")
        if self.scope is not None and self.scope not in caller.actor.scopes:
            raise Problem("forbidden", f"This needs the scope `{self.scope}`.")


def require_role(
    role: str, scope: str | None = None, *, also_in_query: bool = False, limited: bool = True
) -> Requirement:
    """For `Annotated[Caller, Depends(require_role("staff", "inventory:write"))]`. Roles include those below them:
    nobody (no token needed), guest, customer, staff, admin. `also_in_query` is for requests on which browsers cannot
    set a header: the token may then be in `?token=`, which ends up in histories and proxy logs. Without `limited`,
    requests do not count towards the caller's limits."""
    return Requirement(role, scope, also_in_query=also_in_query, limited=limited)


def is_limited(dependant: Dependant) -> bool:
    """Whether a route's requests are counted."""
    call = dependant.call
    if call is counted or (isinstance(call, Requirement) and call.limited):
        return True
    return any(map(is_limited, dependant.dependencies))


async def known_query(request: Request) -> None:
    """A FastAPI dependency for all routes: checks what `only_known` checks. The caller is not known yet, so a request
    that is rejected here is counted by its address, if its route is limited. Raises a 422 or 429 Problem."""
    try:
        await only_known(request)
    except Problem:
        if is_limited(request.scope["route"].dependant):
            await counted(request)
        raise


async def counted(request: Request) -> None:
    """A FastAPI dependency for limited routes that require nothing: counts the request by its address. Raises a 429
    Problem."""
    limits: Limits = request.app.state.edge.limits
    await limits.count(request.scope, None)
