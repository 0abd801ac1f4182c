"""What the routes of an app take, asked of the routes themselves: the methods of a path, the headers of requests.

HEAD, `Allow` and CORS are decided from this, so a new route has all three without another word.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

_OF_EVERY_REQUEST: Final = ("Authorization", "Content-Type", "X-Request-ID")
"""Headers that are read outside of the operations, or that OpenAPI describes by other means than parameters."""


class Surface(NamedTuple):
    """Every method that some route takes, every header that some operation reads, and the paths of endless answers."""

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
    """The methods of all routes of the path that was asked for; Starlette names those of the first one only. Where the
    path stands word for word, it is no value for a parameter of another."""
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
    """Whether the route's answers go on until somebody leaves; their class says so."""
    return getattr(getattr(route, "response_class", None), "endless", False)


def _headers(route: APIRoute) -> Iterator[str]:
    """The headers that an operation reads, as it tells OpenAPI."""
    for parameter in (route.openapi_extra or {}).get("parameters", ()):
        if parameter["in"] == "header":
            yield parameter["name"]
    yield from (field.alias for field in route.dependant.header_params)
