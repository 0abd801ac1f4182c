"""For operators: is the process alive, can it serve, and its metrics."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import text

from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.identity.caller import NOBODY, Caller, unauthenticated
from gateway.identity.requirements import require_role

router = APIRouter(tags=["health"])

_CHECK_SECONDS: Final = 2.0
_READERS: Final = require_role("staff", "metrics:read")
Scraper = Annotated[Caller, Depends(require_role("nobody", limited=False))]


class HealthView(BaseModel):
    """`ready`; `degraded`: Postgres or Redis is unavailable, and reads or writes get 503; `unavailable`: both are;
    `starting`: revoked tokens have not been loaded yet; `stopping`: the process is shutting down."""

    status: Literal["ready", "degraded", "unavailable", "starting", "stopping"]
    redis: bool
    postgres: bool


@router.get("/health/live", responses=problems(431))
async def live() -> dict[str, str]:
    """The process is running, even while it starts or stops."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=HealthView, responses={503: {"model": HealthView}, **problems(422, 431)})
async def ready(
    request: Request,
    wanted: Annotated[
        Literal["reads", "writes"] | None,
        Query(alias="for", description="`reads` need Postgres, `writes` need Redis; without it, either will do."),
    ] = None,
) -> Response:
    """Whether to send requests here: 200 or 503. Always 503 while the process starts or stops."""
    edge = edge_of(request)
    redis, postgres = await asyncio.gather(_answers(_ping_redis(edge)), _answers(_ping_postgres(edge)))
    if edge.stopping.begun:
        view = HealthView(status="stopping", redis=redis, postgres=postgres)
    elif postgres and not edge.revocations.are_known:
        view = HealthView(status="starting", redis=redis, postgres=postgres)
    elif redis and postgres:
        view = HealthView(status="ready", redis=redis, postgres=postgres)
    else:
        view = HealthView(status="degraded" if redis or postgres else "unavailable", redis=redis, postgres=postgres)
    serves = view.status in ("ready", "degraded") and {"reads": postgres, "writes": redis, None: True}[wanted]
    return Response(view.model_dump_json(), 200 if serves else 503, media_type="application/json")


async def _answers(check: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check
    except Exception:
        return False
    return True


async def _ping_redis(edge: Edge) -> None:
    await edge.redis.ping()


async def _ping_postgres(edge: Edge) -> None:
    async with edge.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "All metrics, in the format of the two that `Accept` prefers.",
            "content": {
                media_type: {"schema": {"type": "string"}}
                for media_type in ("text/plain", "application/openmetrics-text")
            },
        },
        **problems(401, 403),
    },
)
async def scrape(request: Request, caller: Scraper) -> Response:
    """Metrics of all processes of this machine, as Prometheus text or OpenMetrics. In production only for staff with
    the scope `metrics:read`, unless a setting opens it. A separate port, set by another setting, needs no token."""
    edge = edge_of(request)
    if not edge.config.metrics_are_public:
        if caller is NOBODY:
            raise unauthenticated("Send a bearer token, or scrape TIDEGATE_METRICS_PORT.")
        _READERS.check(caller)
    return (await edge.scraper.page(request.headers.get("accept", ""))).response()
