"""Scrapes, and the port that serves nothing else.

A scrape is rendered off the event loop, at most once a second (a setting); requests in between get the same one. Each
process can answer for all on its machine, because all keep their numbers in the same folder. So each of them also
listens on the port for metrics, with SO_REUSEPORT: it is served as long as any process lives, without a process of its
own. There is no authentication, which is why the port is bound to loopback unless a setting says otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.metrics import registry

PATH: Final = "/metrics"

# At the metrics port; a scraper needs one.
_CONNECTIONS_MAX: Final = 32
_STOP_SECONDS: Final = 1

Asking = Callable[[], Awaitable[Sequence[Metric]]]
"""Queries the metrics that no process keeps."""

_Encoder = Callable[[CollectorRegistry], bytes]


class Page(NamedTuple):
    """A scrape in one of the formats."""

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
    """The scrapes of one process."""

    def __init__(self, ask: Asking, *, fresh_seconds: float) -> None:
        self._ask = ask
        self._fresh_seconds = fresh_seconds
        self._pages: dict[str, Page] = {}
        self._fresh_until = 0.0
        self._making = asyncio.Lock()

    async def page(self, accept: str) -> Page:
        """The metrics of all processes of this machine, as Prometheus text or OpenMetrics, by the Accept header."""
        encode, content_type = _encoder(accept)
        async with self._making:
            if time.monotonic() >= self._fresh_until:
                self._pages.clear()
            page = self._pages.get(content_type)
            if page is None:
                families = await self._ask()
                page = Page(content_type, await asyncio.to_thread(_rendered, encode, families))
                if not self._pages:
                    self._fresh_until = time.monotonic() + self._fresh_seconds
                self._pages[content_type] = page
            return page


async def nothing_else() -> Sequence[Metric]:
    """For a scraper that shows only what processes count."""
    return ()


def _rendered(encode: _Encoder, families: Sequence[Metric]) -> bytes:
    """Renders a scrape; slow, so it is run in a thread."""
    collected = CollectorRegistry()
    collected.register(registry())
    collected.register(_Families(families))
    return encode(collected)


def _encoder(accept: str) -> tuple[_Encoder, str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the requested version is not a number
        return choose_encoder("")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the process, which also stops this server."""
        yield


class MetricsPort:
    """The port for metrics; `http` is a protocol of uvicorn's, by name or as a class."""

    def __init__(
        self, scraper: Scraper, host: str, port: int, http: Literal["httptools"] | type[asyncio.Protocol] = "httptools"
    ) -> None:
        self._address = host, port

        async def scrape(request: Request) -> Response:
            return (await scraper.page(request.headers.get("accept", ""))).response()

        self._server = _Server(
            uvicorn.Config(
                Starlette(routes=[Route(PATH, scrape)]),
                http=http,
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
        self._serving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts serving. Raises OSError if another program has the port."""
        self._serving = asyncio.create_task(self._server.serve([_socket(*self._address)]))

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def _socket(host: str, port: int) -> socket.socket:
    """A socket on a port that our other processes may listen on, too. Raises OSError if another program has the
    port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(_CONNECTIONS_MAX)  # connections made before it is served wait
    except OSError:
        sock.close()
        raise
    return sock
