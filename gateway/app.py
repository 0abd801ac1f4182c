"""The gateway's ASGI app, which `python -m gateway` serves."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.apidocs import asyncapi, openapi, viewers
from gateway.apidocs.responses import HEADERS
from gateway.edge import Edge
from gateway.identity.requirements import known_query
from gateway.realtime.sockets import SOCKETS_BY_PATH, SocketKind
from gateway.routes import (
    api_keys,
    auth,
    cards,
    categories,
    checkouts,
    commands,
    customers,
    dashboard,
    exports,
    health,
    hooks,
    imports,
    inventory,
    invoices,
    log,
    me,
    orders,
    payments,
    prices,
    products,
    promotions,
    registration,
    reports,
    stream,
    tasks,
    terms,
    users,
    webhooks,
)
from gateway.server import connections
from gateway.server.fastlane import FastLane
from gateway.server.middleware import around
from gateway.server.scraping import listening
from gateway.web import problems
from gateway.web.surface import surface_of
from runtime import garbage, logs, tracing
from runtime.metrics import REQUEST_SECONDS
from runtime.settings import Settings, settings

_log = logging.getLogger(__name__)

_VERSION = version("tidegate")
_API_ROUTERS = [
    resource.router
    for resource in (
        auth,
        registration,
        me,
        users,
        api_keys,
        customers,
        products,
        prices,
        categories,
        checkouts,
        orders,
        invoices,
        payments,
        cards,
        hooks,
        inventory,
        commands,
        log,
        stream,
        webhooks,
        reports,
        imports,
        exports,
        terms,
        promotions,
        tasks,
    )
]

_FOR_ALL = [Depends(known_query)]


def create_app(config: Settings | None = None) -> ASGIApp:
    """One gateway process. Nothing is connected before it starts."""
    config = config or settings()
    logs.configure(config.log_level, as_json=config.logs_json)
    tracing.start("tidegate-gateway")
    app = api(config)
    sockets = {path: _socket(app, kind) for path, kind in SOCKETS_BY_PATH.items()}
    return around(FastLane(app, _API_ROUTERS, sockets), config, surface_of(app), HEADERS)


def _socket(app: FastAPI, kind: SocketKind) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app.state.edge.sockets.serve(kind, scope, receive, send)

    return serve


def api(config: Settings) -> FastAPI:
    """The routes with their documentation; `openapi()` is the document."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connections.crowd()
        try:
            async with Edge(config) as app.state.edge:
                garbage.calm()
                async with listening(app.state.edge.scraper, config):
                    with app.state.edge.stopping.heeding_signals():
                        yield
        finally:
            await tracing.stop()

    app = FastAPI(
        title="Tidegate",
        version=_VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=viewers.OPENAPI_PATH,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    for router in _API_ROUTERS:
        app.include_router(router, dependencies=_FOR_ALL)
    app.include_router(health.router, dependencies=_FOR_ALL)
    problems.install(app)
    for pages in (viewers, asyncapi, dashboard):
        pages.install(app)
    REQUEST_SECONDS.allow(route=(route.path for route in iter_route_contexts(app.routes) if route.path))
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app
