"""Alerts about Redis fire in a real system whose Redis is in trouble, and not before, as those of the neighbouring
`test_alerts.py` do."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.e2e.alerted import Watched, silent_until_now, watched_system
from tests.e2e.faults import stopped_meanwhile
from tests.system import eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module")
async def watched() -> AsyncIterator[Watched]:
    async with watched_system() as watched:
        yield watched


async def test_redis_that_is_away(watched: Watched) -> None:
    """This test comes first: failed writes count for hours, and any other test that breaks something may cause one."""
    shop, watching, *_ = watched
    sku = await shop.product()
    failing = ("TidegateWritesFail", "TidegateWritesFailSlowly")
    async with silent_until_now(watching, "TidegateRedisAway", *failing):
        shop.system.valkey.stop()
        await watching.fires("TidegateRedisAway")

        async def fail() -> bool:
            answer = await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})
            assert answer.status == 503
            return set(failing) <= set(await watching.firing())

        await eventually_seen(str(failing), fail, within_seconds=60)
        shop.system.valkey.start()
    await watching.ends("TidegateRedisAway")


async def test_redis_whose_memory_runs_out(watched: Watched) -> None:
    shop, watching, *_ = watched
    async with silent_until_now(watching, "TidegateRedisMemoryFull"), Redis.from_url(shop.system.valkey.url) as redis:
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int(used / 0.85))
        await watching.fires("TidegateRedisMemoryFull")
        await redis.config_set("maxmemory", 0)
    await watching.ends("TidegateRedisMemoryFull")


async def test_redis_that_keeps_commands_slowly(watched: Watched) -> None:
    shop, watching, *_ = watched
    sku = await shop.product()
    async with Redis.from_url(shop.system.valkey.url) as redis:
        pid = (await redis.info("server"))["process_id"]
    async with silent_until_now(watching, "TidegateRedisDiskSlow"):

        async def is_slow() -> bool:
            async with stopped_meanwhile([pid]):
                posting = asyncio.create_task(shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1}))
                await asyncio.sleep(0.7)
            (await posting).ok()
            return "TidegateRedisDiskSlow" in await watching.firing()

        await eventually_seen("TidegateRedisDiskSlow", is_slow, within_seconds=90)
