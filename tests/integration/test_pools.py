"""The metrics of connection pools: how many connections are in use, and how many requests wait for one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.database import create_batch_pool
from runtime.engine import create_engine
from runtime.fair_pool import InTurn
from runtime.pools import sample_engine, sample_pool
from tests.system import eventually_seen


def shown(pool: str) -> list[float | None]:
    """(in use, size, waiting)."""
    names = ("in_use", "size", "waiting")
    return [REGISTRY.get_sample_value(f"tidegate_database_pool_{name}", {"pool": pool}) for name in names]


async def test_batches_connections(database_url: str) -> None:
    pool = await create_batch_pool(database_url, size=2, batch_max_seconds=60)
    try:

        def now() -> list[float | None]:
            sample_pool("batches", pool)
            return shown("batches")

        assert now() == [0, 2, 0]
        async with pool.acquire(), pool.acquire():
            assert now() == [2, 2, 0]
            waiting = [asyncio.create_task(pool.fetchval("SELECT 1")) for _ in range(3)]

            async def wait() -> bool:
                return now() == [2, 2, 3]

            await eventually_seen("three that wait", wait, within_seconds=5)
            waiting.pop().cancel()

            async def gave_up() -> bool:
                return now() == [2, 2, 2]

            await eventually_seen("one that gave up", gave_up, within_seconds=5)
        assert await asyncio.gather(*waiting) == [1, 1]
        assert now() == [0, 2, 0]
    finally:
        pool.terminate()


async def test_views_connections(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    try:

        def now() -> list[float | None]:
            sample_engine("views", engine)
            return shown("views")

        assert now() == [0, 1, 0]

        async def view() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

        async with engine.connect():
            assert now() == [1, 1, 0]
            waiting = asyncio.create_task(view())

            async def waits() -> bool:
                return now() == [1, 1, 1]

            await eventually_seen("one that waits", waits, within_seconds=5)
        await waiting
        assert now() == [0, 1, 0]
    finally:
        await engine.dispose()


async def test_connections_are_handed_out_in_the_order_of_the_requests(database_url: str) -> None:
    """Not even a task that returns a connection and wants it back at once may overtake."""
    engine = create_engine(database_url, pool_size=1)
    served: list[str] = []

    async def view(name: str) -> None:
        async with engine.connect():
            served.append(name)

    try:
        async with engine.connect():
            waiting = [asyncio.create_task(view(f"waiting {number}")) for number in range(3)]
            await eventually_seen("three that wait", _waiters(engine, 3), within_seconds=5)
        await view("a newcomer")
        await asyncio.gather(*waiting)
        assert served == ["waiting 0", "waiting 1", "waiting 2", "a newcomer"]
    finally:
        await engine.dispose()


async def test_a_connection_handed_to_a_cancelled_waiter_is_not_lost() -> None:
    queue = InTurn()
    waiting, next_one = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait("a connection")
    waiting.cancel()  # it has been given it, and does not know yet
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await next_one == "a connection"


def _waiters(engine: AsyncEngine, count: int) -> Callable[[], Awaitable[bool]]:
    async def wait() -> bool:
        sample_engine("views", engine)
        return shown("views")[2] == count

    return wait
