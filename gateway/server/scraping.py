"""Scrapes: the metrics of this machine's processes, with what waits in Redis and how far reactions are.

A scrape is put together off the event loop, at most once a second (a setting), and whoever asks meanwhile gets the
same. Each gateway process can answer for all, because all keep their numbers in the same folder. So each of them also
listens on `TIDEGATE_METRICS_PORT`, with SO_REUSEPORT: the port is served for as long as any gateway process lives, and
no process is there for it alone. Nobody signs in there, which is why it is bound to this machine unless a setting says
otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NamedTuple

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.tasks import TASK_DEAD, TASK_QUEUED
from gateway.server.http1 import BoundedHttp
from gateway.views.reactions import lags
from gateway.views.tasks import backlogs
from runtime import metrics
from runtime.engine import VIEW_FAILED
from runtime.mailboxes.inbox import entry_order
from runtime.mailboxes.redis_keys import stream_key
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.settings import Settings

PATH: Final = "/metrics"

# Of the listener: a scraper needs one.
_CONNECTIONS_MAX: Final = 32
_STOP_SECONDS: Final = 1

_Encoder = Callable[[CollectorRegistry], bytes]


class Page(NamedTuple):
    """A scrape, as one of the formats has it."""

    content_type: str
    body: bytes

    def response(self) -> Response:
        return Response(self.body, headers={"Content-Type": self.content_type})


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class Scraper:
    """The scrapes of one gateway process."""

    def __init__(self, engine: AsyncEngine, redis: Redis, config: Settings) -> None:
        self._engine = engine
        self._redis = redis
        self._config = config
        self._pages: dict[str, Page] = {}
        self._fresh_until = 0.0
        self._making = asyncio.Lock()

    async def page(self, accept: str) -> Page:
        """Prometheus text or OpenMetrics, as an Accept header asks for; of all processes of this machine."""
        encode, content_type = _encoder(accept)
        async with self._making:
            if time.monotonic() >= self._fresh_until:
                self._pages.clear()
            page = self._pages.get(content_type)
            if page is None:
                families = [*await self._backlog(), *await self._lag(), *await self._tasks()]
                page = Page(content_type, await asyncio.to_thread(_rendered, encode, families))
                if not self._pages:
                    self._fresh_until = time.monotonic() + self._config.metrics_fresh_seconds
                self._pages[content_type] = page
            return page

    async def _backlog(self) -> list[Metric]:
        """What waits in the mailboxes, asked of Redis at the moment of the scrape."""
        waiting = GaugeMetricFamily("tidegate_mailbox_commands", "Commands waiting, by mailbox.", labels=["mailbox"])
        oldest = GaugeMetricFamily(
            "tidegate_mailbox_oldest_seconds", "Age of the oldest waiting command, 0 for none.", labels=["mailbox"]
        )
        up = GaugeMetricFamily("tidegate_redis_up", "Whether Redis answered this scrape.")
        count = self._config.mailbox_count
        pipeline = self._redis.pipeline(transaction=False)
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

    async def _lag(self) -> list[Metric]:
        """How far reactions are behind, asked of Postgres at the moment of the scrape."""
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
            found = await lags(self._engine)
        except VIEW_FAILED:
            return []
        for lag in found:
            behind.add_metric([lag.kind], lag.events)
            late.add_metric([lag.kind], lag.seconds)
            failing.add_metric([lag.kind], lag.failures)
        return [behind, late, failing]

    async def _tasks(self) -> list[Metric]:
        """What waits in the outbox, asked of Postgres at the moment of the scrape."""
        waiting = GaugeMetricFamily("tidegate_tasks", "Tasks that are not done, by state.", labels=["kind", "state"])
        late = GaugeMetricFamily(
            "tidegate_task_oldest_due_seconds",
            "For how long the oldest task that may be taken has been due, 0 for none.",
            labels=["kind"],
        )
        try:
            found = await backlogs(self._engine)
        except VIEW_FAILED:
            return []
        for backlog in found:
            waiting.add_metric([backlog.kind, TASK_QUEUED], backlog.queued)
            waiting.add_metric([backlog.kind, TASK_DEAD], backlog.dead)
            late.add_metric([backlog.kind], backlog.oldest_due_seconds)
        return [waiting, late]


def _rendered(encode: _Encoder, families: Sequence[Metric]) -> bytes:
    """What takes long, for a thread."""
    collected = CollectorRegistry()
    collected.register(metrics.registry())
    collected.register(_Families(families))
    return encode(collected)


def _encoder(accept: str) -> tuple[_Encoder, str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # it asks for a version that is no number
        return choose_encoder("")


class _Unlimited(BoundedHttp):
    """Scrapes go on while clients fill up what there is for them."""

    limited = False


class _Listener(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the gateway's to hear; it stops this as well."""
        yield


@asynccontextmanager
async def listening(scraper: Scraper, config: Settings) -> AsyncIterator[None]:
    """Serves scrapes on the port of their own meanwhile, if the settings name one."""
    if config.metrics_port is None:
        yield
        return

    async def scrape(request: Request) -> Response:
        return (await scraper.page(request.headers.get("accept", ""))).response()

    server = _Listener(
        uvicorn.Config(
            Starlette(routes=[Route(PATH, scrape)]),
            http=_Unlimited,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve([_socket(config.metrics_host, config.metrics_port)]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _socket(host: str, port: int) -> socket.socket:
    """A socket that other processes may listen on too. Raises OSError when a stranger has the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
