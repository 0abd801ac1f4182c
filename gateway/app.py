"""The gateway's ASGI app: `uvicorn --factory gateway.app:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from gateway import problems, sockets
from gateway.edge import Edge
from gateway.fastlane import FastLane
from gateway.middleware import Observed
from gateway.requests import body_schemas
from gateway.routes import API, commands, health, inventory, log, orders
from gateway.routes.documents import ProblemView
from runtime import garbage, logs
from runtime.settings import Settings, settings

_VERSION = "0.1.0"
_API_ROUTERS = [noun.router for noun in (orders, inventory, commands, log)]


def create_app(config: Settings | None = None) -> ASGIApp:
    """One gateway process. Nothing is connected before it starts."""
    config = config or settings()
    logs.configure(config.log_level, as_json=config.mode == "production")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.edge = Edge(config)
        app.state.sockets = sockets.Sockets()
        await app.state.edge.start()
        garbage.calm()
        yield
        await app.state.edge.stop()

    app = FastAPI(
        title="Tidegate",
        version=_VERSION,
        summary="Commands go in and are durable at 202; every effect is an event in one gapless log.",
        docs_url="/api/docs",
        redoc_url="/api/redoc",
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
        lifespan=lifespan,
    )
    for router in _API_ROUTERS:
        app.include_router(router)
    app.include_router(health.router)
    app.include_router(sockets.router)
    problems.install(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return Observed(FastLane(app, _API_ROUTERS))


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: bearer tokens for all of the API, and the schemas that its routes only refer to."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = document.setdefault("components", {})
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        schemas = components.setdefault("schemas", {})
        schemas.update(body_schemas(), ProblemView=ProblemView.model_json_schema())
        for path, operations in document["paths"].items():
            if path.startswith(API):
                for operation in operations.values():
                    operation["security"] = [{"bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema
