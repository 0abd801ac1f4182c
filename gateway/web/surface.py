"""What the routes of an app accept, derived from the routes themselves: the methods of paths, the headers of requests.

HEAD, `Allow` and CORS are derived from this, so a new route gets all three automatically.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

_OF_EVERY_REQUEST: Final = ("Authorization", "Content-Type", "X-Request-ID")
"""Headers that are read outside the operations, or that OpenAPI does not describe as parameters."""


class Surface(NamedTuple):
    """All methods of the routes, all headers that operations read, and the paths with endless responses."""

    methods: tuple[str, ...]
    request_headers: tuple[str, ...]
    endless: tuple[re.Pattern[str], ...]


def surface_of(app: FastAPI) -> Surface:
    """The surface of all routes of the app."""
    routes = list(_routes(app))
    api_routes = [route for route, _ in routes if isinstance(route, APIRoute)]
    headers = {name for route in api_routes for name in _headers(route)}
    return Surface(
        tuple(sorted({method for _, methods in routes for method in methods})),
        tuple(sorted({*_OF_EVERY_REQUEST, *headers}, key=str.lower)),
        tuple(route.path_regex for route in api_routes if _is_endless(route)),
    )


def methods_of(app: FastAPI, scope: Scope) -> set[str]:
    """The methods of all routes that match the requested path; Starlette names only those of the first one. A literal
    path takes precedence over one with a parameter."""
    found = [(route, methods) for route, methods in _routes(app) if route.matches(scope)[0] != Match.NONE]
    exact = [methods for route, methods in found if getattr(route, "path", None) == scope["path"]]
    return {method for methods in exact or (methods for _, methods in found) for method in methods}


def _routes(app: FastAPI) -> Iterator[tuple[BaseRoute, set[str]]]:
    """Every route with its methods, HEAD among them where the middleware answers it
    (`gateway.server.middleware.head`)."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        methods = {"GET"} if isinstance(route, Mount) else set(context.methods or ())  # what is mounted are files
        if "GET" in methods and not _is_endless(route):
            methods.add("HEAD")
        yield route, methods


def _is_endless(route: BaseRoute) -> bool:
    """Whether the route's responses last until one side leaves; their class says so."""
    return getattr(getattr(route, "response_class", None), "endless", False)


def _headers(route: APIRoute) -> Iterator[str]:
    """The headers that an operation reads, according to its OpenAPI parameters."""
    for parameter in (route.openapi_extra or {}).get("parameters", ()):
        if parameter["in"] == "header":
            yield parameter["name"]
    yield from (field.alias for field in route.dependant.header_params)
