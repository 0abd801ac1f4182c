"""The fast lane: routes with a fixed path, or with a single id in it, that bypass FastAPI's stack.

FastAPI documents them like all others, and the same functions handle them. They skip routing by pattern, dependency
solving and three exit stacks, which for a small POST cost more than validating it, making it durable and answering
together. A route opts in with `@fast`, reads its request itself, and takes only the request, the caller that it
requires, and the id in its path. With `@ready(...)`, a request without a token may be answered directly from a cache.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.identity.requirements import Requirement, counted
from gateway.web import problems
from gateway.web.problems import Problem
from gateway.web.queries import check_known, names_of

_FAST: Final = "_tidegate_fast"
FAST_ROUTE: Final = "tidegate.route"
"""The key in a request's scope for its route, if the fast lane serves it."""

Endpoint = Callable[..., Awaitable[Response]]
"""Called with the request, the caller, and the id, if the route's path has one."""
_E = TypeVar("_E", bound=Endpoint)


class ReadyAnswer(Protocol):
    """A response that only has to be sent."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def body(self) -> bytes: ...


# An id in its usual form. Other forms are left to FastAPI, which accepts some and rejects others.
_ID: Final = re.compile(r"(?<=/)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?=/|\Z)")

ReadyOrNot = Callable[[Scope], ReadyAnswer | None]


def fast(endpoint: _E) -> _E:
    """Marks a route's function for the fast lane."""
    setattr(endpoint, _FAST, None)
    return endpoint


def ready(look: ReadyOrNot) -> Callable[[_E], _E]:
    """Marks a route's function for the fast lane. `look` is called first: it returns the answer if that is ready."""

    def mark(endpoint: _E) -> _E:
        setattr(endpoint, _FAST, look)
        return endpoint

    return mark


class _Lane(NamedTuple):
    path: str
    endpoint: Endpoint
    requirement: Requirement
    look: ReadyOrNot | None
    query: frozenset[str]


class FastLane:
    """Serves WebSockets, and, by a single look-up, the marked routes of `app`'s routers; leaves the rest to `app`."""

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter], sockets: Mapping[str, ASGIApp]) -> None:
        """`sockets` are the ASGI apps that serve WebSockets, by path."""
        self._app = app
        self._sockets = sockets
        self._routes: dict[tuple[str, ...], _Lane] = {
            (method, *_around_id(route)): _Lane(
                route.path, route.endpoint, _requirement(route), getattr(route.endpoint, _FAST), names_of(route)
            )
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and hasattr(route.endpoint, _FAST)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found, ids = self._find(scope)
        if found is None:
            app = self._sockets.get(scope["path"], self._app) if scope["type"] == "websocket" else self._app
            await app(scope, receive, send)
            return
        path, endpoint, requirement, look, known = found
        scope["app"] = self._app
        scope[FAST_ROUTE] = path
        request = Request(scope, receive)
        try:
            if look is not None and (answer := look(scope)) is not None:
                await counted(request)
                await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
                await send({"type": "http.response.body", "body": answer.body})
                return
            try:
                check_known(scope["query_string"], known)
            except Problem:
                await counted(request)
                raise
            response = await endpoint(request, await requirement(request), *ids)
        except Exception as error:
            response = await problems.answer(request, error)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[_Lane | None, tuple[UUID, ...]]:
        """The marked route of a request, and the id in its path."""
        if scope["type"] != "http":
            return None, ()
        method, path = scope["method"], scope["path"]
        if (found := self._routes.get((method, path))) is not None:
            return found, ()
        if (id_in_path := _ID.search(path)) is None:
            return None, ()
        around = path[: id_in_path.start()], path[id_in_path.end() :]
        return self._routes.get((method, *around)), (UUID(id_in_path[0]),)


def _around_id(route: APIRoute) -> tuple[str, ...]:
    """The route's path: what is before and after the id in it, or all of it."""
    parameters = route.dependant.path_params
    if not parameters:
        return (route.path,)
    (parameter,) = parameters
    annotation: Any = parameter.field_info.annotation
    assert annotation is UUID, f"{route.path} takes something else than an id"
    before, after = route.path.split(f"{{{parameter.alias}}}")
    return before, after


def _requirement(route: APIRoute) -> Requirement:
    """What the route requires of its caller: this must be its only dependency."""
    (dependency,) = route.dependant.dependencies
    assert isinstance(dependency.call, Requirement), f"{route.path} takes more than its request and its caller"
    return dependency.call
