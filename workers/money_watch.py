"""Watches money that waits: payments that are pending, payments whose order came to nothing, and open checkouts.

Every number is bounded, and so is every look: the oldest pending payments are found by their index. Nothing but the
order says that a payment is orphaned, so payments are walked through, a page at a time, from the newest to the oldest
and again from the beginning. The newest, and those that are known to be orphaned, are part of every look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from domain.orders import CANCELLED, EXPIRED
from runtime.database import Connection
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
from runtime.tables.payments import KEEPS_MONEY
from workers.failures import DATABASE_TROUBLE

for _metric in (PAYMENTS_PENDING, PAYMENTS_PENDING_OLDEST_SECONDS):
    _metric.allow(provider=PROVIDERS)

_EVERY_SECONDS: Final = 5.0
# The longer a look took, the later the next.
_MAX_SHARE: Final = 0.02

_PENDING_MAX: Final = 10_000
_OPEN_MAX: Final = 100_000
_ORPHANED_MAX: Final = 1_000
_PAGE_PAYMENTS: Final = 2_000

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
_OF_ORDERS_GONE: Final = f"orders.status IN ('{CANCELLED}', '{EXPIRED}')"

# A page of payments: its last, if there may be more, and those that are orphaned.
_PAGE: Final = f"""
    WITH page AS MATERIALIZED (
        SELECT id, order_id, created_at, {KEEPS_MONEY} AS keeps_money FROM payments
        WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3
    )
    SELECT
        (SELECT created_at FROM page ORDER BY created_at DESC, id DESC OFFSET $3 - 1),
        (SELECT id FROM page ORDER BY created_at DESC, id DESC OFFSET $3 - 1),
        ARRAY(
            SELECT page.id FROM page JOIN orders ON orders.id = page.order_id
            WHERE page.keeps_money AND {_OF_ORDERS_GONE}
        )
"""  # noqa: S608 - ours
_ORPHANED: Final = f"""
    SELECT payments.id, greatest(0, extract(epoch FROM now() - orders.updated_at))::float
    FROM payments JOIN orders ON orders.id = payments.order_id
    WHERE payments.id = ANY($1::uuid[]) AND {KEEPS_MONEY} AND {_OF_ORDERS_GONE}
"""  # noqa: S608 - ours

_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where a page begins: after this payment, counted from the newest."""

    created_at: datetime
    payment_id: UUID


_NEWEST: Final = _Place(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))


class MoneyWatch:
    """Watches for one background process. Others may do so at the same time."""

    def __init__(self, pool: asyncpg.Pool[Any], *, page_payments: int = _PAGE_PAYMENTS) -> None:
        self._pool = pool
        self._page_payments = page_payments
        self._walked_to: _Place | None = None
        self._orphaned: dict[UUID, float] = {}
        """Payments that are known to be orphaned, with how many seconds ago their order came to nothing."""
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
            _log.warning("money could not be looked at (%s: %s)", type(error).__name__, error)
        took = time.monotonic() - began
        self._look_again_at = began + max(_EVERY_SECONDS, took / _MAX_SHARE)

    async def look(self) -> None:
        """Looks now."""
        async with self._pool.acquire() as connection:
            _tell_pending(await connection.fetch(_PENDING, _PENDING_MAX))
            CHECKOUTS_OPEN.set(await connection.fetchval(_OPEN, _OPEN_MAX))
            await self._look_for_orphans(connection)

    async def _look_for_orphans(self, connection: Connection) -> None:
        found = set(self._orphaned)
        second = await self._page(connection, _NEWEST, found)
        after = self._walked_to or second
        self._walked_to = None if after is None else await self._page(connection, after, found)
        rows = await connection.fetch(_ORPHANED, sorted(found))
        self._orphaned = dict(sorted(map(tuple, rows), key=lambda row: -row[1])[:_ORPHANED_MAX])
        PAYMENTS_ORPHANED.set(len(self._orphaned))
        PAYMENTS_ORPHANED_OLDEST_SECONDS.set(max(self._orphaned.values(), default=0.0))

    async def _page(self, connection: Connection, after: _Place, found: set[UUID]) -> _Place | None:
        """Adds what is orphaned of a page; returns where the next begins, None if there is none."""
        created_at, payment_id, orphaned = await connection.fetchrow(_PAGE, *after, self._page_payments)
        found.update(orphaned)
        return None if payment_id is None else _Place(created_at, payment_id)


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
