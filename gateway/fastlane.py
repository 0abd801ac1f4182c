"""The fast lane: routes of a fixed path that are served past FastAPI's stack.

FastAPI documents them like all others, and the very same functions answer; what they are spared is routing by
pattern, dependency solving and three exit stacks, which for a small POST cost more than checking it, making it durable
and answering together. A route asks for it with `@fast`, reads its request itself, and takes nothing but the request
and the caller that it requires.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from gateway import problems
from gateway.auth import Caller, Requirement

_FAST: Final = "_tidegate_fast"
FAST_ROUTE: Final = "tidegate.route"
"""The key in a request's scope that names its route, if it came by the fast lane."""

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
_E = TypeVar("_E", bound=Endpoint)


def fast(endpoint: _E) -> _E:
    """Marks a route's function for the fast lane."""
    setattr(endpoint, _FAST, True)
    return endpoint


class FastLane:
    """Serves the marked routes of the routers that `app` includes, by one look-up; `app` the rest."""

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes: dict[tuple[str, str], tuple[Endpoint, Requirement]] = {
            (method, route.path): (route.endpoint, _requirement(route))
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and hasattr(route.endpoint, _FAST)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, requirement = found
        scope["app"] = self._app
        scope[FAST_ROUTE] = scope["path"]
        request = Request(scope, receive)
        try:
            response = await endpoint(request, await requirement(request))
        except Exception as error:
            response = await problems.answer(request, error)
        await response(scope, receive, send)


def _requirement(route: APIRoute) -> Requirement:
    """What the route requires of its caller; it must say so, and nothing else."""
    (dependency,) = route.dependant.dependencies
    assert isinstance(dependency.call, Requirement), f"{route.path} takes more than its request and its caller"
    return dependency.call
