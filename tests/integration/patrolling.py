"""The patrol of one background process over a small shop, a round at a time, and somebody who alters rows by hand."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from ops.verify import Report, verify
from runtime.database import asyncpg_dsn, create_job_pool
from runtime.settings import Settings
from tests.integration.shopfloor import Shopfloor
from tests.integration.smallshop import Shop, opened
from workers.patrol.patrol import Patrol


class Watch:
    """One background process's patrol over a shop, a round at a time; and somebody who alters rows by hand."""

    def __init__(self, shop: Shop, pool: asyncpg.Pool[Any], hand: asyncpg.Connection[Any], **bounds: float) -> None:
        self.shop = shop
        self.hand = hand
        self._pool = pool
        self._config = Settings().model_copy(update=bounds)
        self.patrol = Patrol(self._config, pool)

    def replace(self, **bounds: float) -> None:
        """Another process takes over, with only the stored state."""
        self.patrol = Patrol(self._config.model_copy(update=bounds), self._pool)

    async def go(self) -> int:
        """Rounds until nothing is left to be looked at; returns how many."""
        for rounds in range(1, 1_000):
            found = await self.patrol.round()
            assert found is not None
            if found.is_all:
                return rounds
        raise AssertionError("it never comes to the end")

    async def open(self) -> list[tuple[str, str]]:
        """Table and key of the rows that differ."""
        rows = await self.hand.fetch(
            "SELECT table_name, key FROM suspects WHERE differs_since IS NOT NULL ORDER BY 1, 2"
        )
        return [tuple(row) for row in rows]

    async def from_newest(self) -> Report:
        """What `tidegate verify` says, from the stored fold on."""
        floor = self.shop.floor
        report = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count)
        assert report.counts["events_folded_before"] == await self.folded()
        return report

    async def from_nothing(self) -> Report:
        """The same, while nothing is folded."""
        floor = self.shop.floor
        report = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count)
        assert "events_folded_before" not in report.counts
        return report

    async def folded(self) -> int:
        seq: int = await self.hand.fetchval("SELECT seq FROM fold_position")
        return seq


@asynccontextmanager
async def watching(shop: Shop, **bounds: float) -> AsyncIterator[Watch]:
    floor = shop.floor
    pool = await create_job_pool(floor.database_url, size=2, job_max_seconds=20)
    hand = await asyncpg.connect(asyncpg_dsn(floor.database_url))
    try:
        yield Watch(shop, pool, hand, **bounds)
    finally:
        await hand.close()
        pool.terminate()


async def folded(floor: Shopfloor) -> Shop:
    """A small shop in which everything that has happened is folded."""
    shop = await opened(floor)
    async with watching(shop) as watch:
        await watch.go()
    return shop


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages about differences since the last call."""
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    caplog.clear()
    return said
