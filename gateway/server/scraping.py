"""Scrapes of a gateway process: beside what processes count, they tell what waits in Redis and Postgres. A port of its
own serves them for as long as any gateway process lives (see `runtime/scraping.py`)."""

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
    """Scrapes go on while clients fill up what there is for them."""

    limited = False


def scraper(engine: AsyncEngine, redis: Client, config: Settings) -> Scraper:
    """The scrapes of this process."""
    return Scraper(partial(asked, engine, redis, config), fresh_seconds=config.metrics_fresh_seconds)


@asynccontextmanager
async def listening(scraper: Scraper, config: Settings) -> AsyncIterator[None]:
    """Serves scrapes on the port of their own meanwhile, if the settings name one."""
    if config.metrics_port is None:
        yield
        return
    port = MetricsPort(scraper, config.metrics_host, config.metrics_port, _Unlimited)
    port.start()
    try:
        yield
    finally:
        await port.stop()
