"""Measures money that waits: pending payments, orphaned payments (their order was cancelled or has expired), and open
checkouts.

Every count is bounded, and so is the cost of every query: indexes find what is counted, the oldest first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import asyncpg

from runtime.metrics import (
    CHECKOUTS_OPEN,
    OTHER,
    PAYMENTS_ORPHANED,
    PAYMENTS_ORPHANED_OLDEST_SECONDS,
    PAYMENTS_PENDING,
    PAYMENTS_PENDING_OLDEST_SECONDS,
)
from runtime.metrics.money import WAITS_FOR
from runtime.payments.registry import PROVIDERS
from runtime.tables.payments import ORPHANED
from workers.failures import DATABASE_TROUBLE

for _metric in (PAYMENTS_PENDING, PAYMENTS_PENDING_OLDEST_SECONDS):
    _metric.allow(provider=PROVIDERS)

_EVERY_SECONDS: Final = 5.0
# Queries take at most this share of the time: the longer they took, the later they are made again.
_MAX_SHARE: Final = 0.02

_PENDING_MAX: Final = 10_000
_OPEN_MAX: Final = 100_000
_ORPHANED_MAX: Final = 1_000

_PENDING: Final = """
    SELECT provider, waits_for, count(*), greatest(0, extract(epoch FROM now() - min(updated_at)))::float
    FROM (
        SELECT provider, updated_at, CASE
            WHEN status = 'action_required' THEN 'buyer'
            WHEN capabilities @> '{"staff_report": true}' THEN 'staff'
            ELSE 'provider'
        END AS waits_for
        FROM payments WHERE is_pending ORDER BY created_at LIMIT $1
    ) AS oldest
    GROUP BY provider, waits_for
"""
_OPEN: Final = "SELECT count(*) FROM (SELECT FROM checkouts WHERE status = 'open' LIMIT $1) AS counted"
_ORPHANED: Final = f"""
    SELECT count(*), coalesce(greatest(0, extract(epoch FROM now() - min(order_ended_at))), 0)::float
    FROM (SELECT order_ended_at FROM payments WHERE {ORPHANED} ORDER BY created_at, id LIMIT $1) AS oldest
"""  # noqa: S608 - ours

_log = logging.getLogger(__name__)


class MoneyWatch:
    """Watches for one background process. Others may do so at the same time."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._look_again_at = float("-inf")

    async def tend(self) -> None:
        """Looks every few seconds at most, however often it is called. If it fails, it tries again then."""
        began = time.monotonic()
        if began < self._look_again_at:
            return
        self._look_again_at = began + _EVERY_SECONDS
        try:
            await self.look()
        except DATABASE_TROUBLE as error:
            _log.warning("pending and orphaned payments could not be checked (%s: %s)", type(error).__name__, error)
        took = time.monotonic() - began
        self._look_again_at = began + max(_EVERY_SECONDS, took / _MAX_SHARE)

    async def look(self) -> None:
        """Looks now."""
        async with self._pool.acquire() as connection:
            _tell_pending(await connection.fetch(_PENDING, _PENDING_MAX))
            CHECKOUTS_OPEN.set(await connection.fetchval(_OPEN, _OPEN_MAX))
            orphaned, oldest_seconds = await connection.fetchrow(_ORPHANED, _ORPHANED_MAX)
            PAYMENTS_ORPHANED.set(orphaned)
            PAYMENTS_ORPHANED_OLDEST_SECONDS.set(oldest_seconds)


def _tell_pending(rows: Iterable[asyncpg.Record]) -> None:
    """Sets the gauges; what nobody waits for any more is 0."""
    told = {(provider, waits_for): (0, 0.0) for provider in (*PROVIDERS, OTHER) for waits_for in WAITS_FOR}
    for provider, waits_for, count, oldest_seconds in rows:
        place = (provider if provider in PROVIDERS else OTHER, waits_for)
        before_count, before_seconds = told.get(place, (0, 0.0))
        told[place] = before_count + count, max(before_seconds, oldest_seconds)
    for place, (count, oldest_seconds) in told.items():
        PAYMENTS_PENDING.labels(*place).set(count)
        PAYMENTS_PENDING_OLDEST_SECONDS.labels(*place).set(oldest_seconds)
