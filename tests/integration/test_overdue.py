"""A worker that is stopped while it sends rows keeps its locks, until a running worker terminates its batch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

from runtime.database import LOST_CONNECTION, create_batch_pool
from tests.integration.shopfloor import Shopfloor
from tests.system import eventually_seen
from workers.overdue import end_overdue

BATCH_MAX_SECONDS = 0.2


async def test_a_batch_stopped_while_it_copies_is_terminated(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post(floor.place(0, MUG=1))
    pool = await create_batch_pool(floor.database_url, size=2, batch_max_seconds=BATCH_MAX_SECONDS)
    copying, go_on = asyncio.Event(), asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        copying.set()
        await go_on.wait()
        yield b""

    async def stopped() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM event_counter FOR UPDATE")
            await connection.copy_to_table("stock", source=rows(), timeout=60)

    async def drained() -> None:
        """With retries, as workers do: it waits for the other one, and may be found overdue for that."""
        while True:
            with suppress(asyncpg.PostgresError, *LOST_CONNECTION):
                return await floor.drain(0)

    batch = asyncio.create_task(stopped())
    await copying.wait()
    draining = asyncio.create_task(drained())
    try:

        async def is_applied() -> bool:
            await end_overdue(pool, BATCH_MAX_SECONDS)
            return draining.done()

        await eventually_seen("the other batch", is_applied, within_seconds=10)
        await draining
    finally:
        go_on.set()
        with pytest.raises((asyncpg.PostgresError, *LOST_CONNECTION)):
            await batch
        pool.terminate()
    assert await floor.statuses([posted]) == ["applied"]
    await floor.verified()


async def test_batches_in_time_are_left_alone(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    posted = await floor.post_all(floor.place(0, MUG=1) for _ in range(300))
    draining = asyncio.create_task(floor.drain(0))
    while not draining.done():
        await end_overdue(floor.pool, 20.0)
    await draining
    assert await floor.statuses(posted) == ["applied"] * 300
