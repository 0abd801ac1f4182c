"""For operators: is the process alive, can it serve, and its metrics."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy import text

from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.identity.caller import NOBODY, Caller, unauthenticated
from gateway.identity.requirements import require_role

router = APIRouter(tags=["health"])

_CHECK_SECONDS: Final = 2.0
_READERS: Final = require_role("staff", "metrics:read")


class HealthView(BaseModel):
    """`ready`; `degraded`: Postgres or Redis is away, and reads or writes answer 503; `unavailable`: both are."""

    status: str
    redis: bool
    postgres: bool


@router.get("/health/live", responses=problems(431))
async def live() -> dict[str, str]:
    """The process is running."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=HealthView, responses={503: {"model": HealthView}, **problems(431)})
async def ready(request: Request) -> Response:
    """Whether to send requests here: yes, as long as commands can be accepted or views can be read."""
    edge = edge_of(request)
    redis, postgres = await asyncio.gather(_answers(_ping_redis(edge)), _answers(_ping_postgres(edge)))
    status = "ready" if redis and postgres else "degraded" if redis or postgres else "unavailable"
    view = HealthView(status=status, redis=redis, postgres=postgres)
    return Response(view.model_dump_json(), 503 if status == "unavailable" else 200, media_type="application/json")


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


@router.get("/metrics", response_class=Response, responses=problems(401, 403))
async def scrape(request: Request, caller: Annotated[Caller, Depends(require_role("nobody"))]) -> Response:
    """Metrics of all processes of this machine, as Prometheus text or OpenMetrics. In production only for staff with
    the scope `metrics:read`, unless a setting opens it. A separate port, set by another setting, needs no token."""
    edge = edge_of(request)
    if not edge.config.metrics_are_public:
        if caller is NOBODY:
            raise unauthenticated("Send a bearer token, or scrape TIDEGATE_METRICS_PORT.")
        _READERS.check(caller)
    return (await edge.scraper.page(request.headers.get("accept", ""))).response()
