"""Measures how much of a connection pool is in use. Neither library says how many callers wait, so that is read from
the private queues of free connections. A test with real pools makes sure that this keeps working.
"""

from __future__ import annotations

from typing import Any, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from runtime.metrics import POOL_IN_USE, POOL_SIZE, POOL_WAITING
from runtime.metrics.processes import Pool


def sample_engine(name: Pool, engine: AsyncEngine) -> None:
    """Sets the gauges of an engine's connections."""
    pool = cast(AsyncAdaptedQueuePool, engine.pool)
    queue: Any = pool._pool
    _set(name, pool.checkedout(), pool.size(), queue._queue)


def sample_pool(name: Pool, pool: asyncpg.Pool[Any]) -> None:
    """Sets the gauges of a pool."""
    of_pool: Any = pool
    _set(name, pool.get_size() - pool.get_idle_size(), pool.get_max_size(), of_pool._queue)


def _set(name: Pool, in_use: int, size: int, queue: Any) -> None:
    POOL_IN_USE.labels(name).set(in_use)
    POOL_SIZE.labels(name).set(size)
    POOL_WAITING.labels(name).set(sum(not getter.done() for getter in queue._getters))
