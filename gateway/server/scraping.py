"""Scrapes of a gateway process: besides what processes count, they include the backlogs in Redis and Postgres. A
separate port serves them for as long as any gateway process lives (see `runtime/scraping.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.server.backlogs import asked
from gateway.server.http1 import BoundedHttp
from runtime.redis_pipeline import Client
from runtime.scraping import MetricsPort, Scraper
from runtime.settings import Settings


class _Unlimited(BoundedHttp):
    """Does not count towards the bounds on clients' connections, so that scrapes work even when those are reached."""

    limited = False


def scraper(engine: AsyncEngine, redis: Client, config: Settings) -> Scraper:
    """The scrapes of this process."""
    return Scraper(partial(asked, engine, redis, config), fresh_seconds=config.metrics_fresh_seconds)


@asynccontextmanager
async def listening(scraper: Scraper, config: Settings) -> AsyncIterator[None]:
    """Serves scrapes on a separate port while the context lasts, if the settings name one."""
    if config.metrics_port is None:
        yield
        return
    port = MetricsPort(scraper, config.metrics_host, config.metrics_port, _Unlimited)
    port.start()
    try:
        yield
    finally:
        await port.stop()
