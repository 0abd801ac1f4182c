"""For operators: is the process alive, can it serve, and its metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel
from sqlalchemy import text

from gateway.edge import Edge
from gateway.routes.documents import edge_of
from gateway.views.reactions import lags
from runtime import metrics
from runtime.engine import VIEW_FAILED
from runtime.mailboxes.inbox import entry_order
from runtime.mailboxes.keys import stream_key
from runtime.redis_client import REDIS_UNAVAILABLE

router = APIRouter(tags=["health"])

_CHECK_SECONDS = 2.0


class HealthView(BaseModel):
    """`ready`; `degraded`: one of the two is away, writes or reads answer 503; `unavailable`: both are."""

    status: str
    redis: bool
    postgres: bool


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/health/ready", response_model=HealthView, responses={503: {"model": HealthView}})
async def ready(request: Request) -> Response:
    """Whether to send requests here. Yes, while either commands can be accepted or views be read."""
    edge = edge_of(request)
    redis, postgres = await asyncio.gather(_answers(_ping_redis(edge)), _answers(_ping_postgres(edge)))
    status = "ready" if redis and postgres else "degraded" if redis or postgres else "unavailable"
    view = HealthView(status=status, redis=redis, postgres=postgres)
    return Response(view.model_dump_json(), 503 if status == "unavailable" else 200, media_type="application/json")


async def _answers(check: Awaitable[None]) -> bool:
    try:
        await asyncio.wait_for(check, _CHECK_SECONDS)
    except Exception:
        return False
    return True


async def _ping_redis(edge: Edge) -> None:
    await edge.redis.ping()


async def _ping_postgres(edge: Edge) -> None:
    async with edge.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


@router.get("/metrics", response_class=Response)
async def scrape(request: Request) -> Response:
    """Prometheus text or OpenMetrics, as asked for; of all processes of this machine."""
    registry = metrics.registry()
    edge = edge_of(request)
    backlog = _Families([*await _backlog(edge), *await _lag(edge)])
    registry.register(backlog)
    try:
        encode, content_type = _encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)
    finally:
        registry.unregister(backlog)


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # it asks for a version that is no number
        return choose_encoder("")


async def _backlog(edge: Edge) -> list[Metric]:
    """What waits in the mailboxes, asked of Redis at the moment of the scrape."""
    waiting = GaugeMetricFamily("tidegate_mailbox_commands", "Commands waiting, by mailbox.", labels=["mailbox"])
    oldest = GaugeMetricFamily(
        "tidegate_mailbox_oldest_seconds", "Age of the oldest waiting command, 0 for none.", labels=["mailbox"]
    )
    up = GaugeMetricFamily("tidegate_redis_up", "Whether Redis answered this scrape.")
    count = edge.config.mailbox_count
    pipeline = edge.redis.pipeline(transaction=False)
    for mailbox in range(count):
        pipeline.xlen(stream_key(mailbox))
        pipeline.xrange(stream_key(mailbox), count=1)
    try:
        answers = await pipeline.execute()
    except REDIS_UNAVAILABLE:
        up.add_metric([], 0)
        return [up]
    up.add_metric([], 1)
    now = time.time()
    for mailbox in range(count):
        length, first = answers[2 * mailbox : 2 * mailbox + 2]
        age = max(0.0, now - entry_order(first[0][0].decode())[0] / 1000) if first else 0.0
        waiting.add_metric([str(mailbox)], length)
        oldest.add_metric([str(mailbox)], age)
    return [up, waiting, oldest]


async def _lag(edge: Edge) -> list[Metric]:
    """How far each reaction is behind, asked of Postgres at the moment of the scrape."""
    behind = GaugeMetricFamily(
        "tidegate_reaction_lag_events", "Events of the log that a reaction has not passed yet.", labels=["reaction"]
    )
    late = GaugeMetricFamily(
        "tidegate_reaction_lag_seconds",
        "Since when a reaction could have handled the first event that it has not passed yet.",
        labels=["reaction"],
    )
    failing = GaugeMetricFamily(
        "tidegate_reaction_failing", "Tries of the event before a reaction that have failed.", labels=["reaction"]
    )
    try:
        found = await lags(edge.engine)
    except VIEW_FAILED:
        return []
    for lag in found:
        behind.add_metric([lag.kind], lag.events)
        late.add_metric([lag.kind], lag.seconds)
        failing.add_metric([lag.kind], lag.failures)
    return [behind, late, failing]
