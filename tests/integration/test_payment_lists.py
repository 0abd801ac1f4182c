"""Payments that are orphaned or pending are found among a hundred thousand others by reading no more than them, under
every plan that may use an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.views import payments as views
from gateway.views.payments import PaymentStatus
from runtime.engine import create_engine
from runtime.tables.payments import AMOUNTS
from tests.integration.shopfloor import Shopfloor
from tests.plans import PLANS
from workers import money_watch
from workers.money_watch import MoneyWatch

PAYMENTS: Final = 100_000
ONE_IN: Final = 5_000
FEW: Final = PAYMENTS // ONE_IN
BUFFERS_MAX: Final = 10 * FEW

# Of ONE_IN payments one is orphaned, one is pending, and one waits for its buyer; every third is of an order that came
# to nothing, and was refunded; all others are charged.
_AMOUNT_OF: Final = {
    "charged_minor": f"CASE WHEN n % {ONE_IN} IN (1, 2) THEN 0 ELSE 300 END",
    "refunded_minor": f"CASE WHEN n % 3 = 0 AND n % {ONE_IN} NOT IN (0, 1, 2) THEN 300 ELSE 0 END",
    "charge_pending_minor": f"CASE WHEN n % {ONE_IN} IN (1, 2) THEN 300 ELSE 0 END",
}
_FILL: Final = f"""
    INSERT INTO payments (id, order_id, customer_id, provider, amount_minor, currency, capture, capabilities, entries,
        status, is_pending, order_ended_at, created_at, updated_at, {", ".join(AMOUNTS)})
    SELECT md5('p' || n)::uuid, md5('o' || n)::uuid, 'ann', 'sandbox', 300, 'GBP', 'automatic', '{{}}', '[]',
        CASE n % {ONE_IN} WHEN 1 THEN 'pending' WHEN 2 THEN 'action_required' ELSE 'charged' END,
        n % {ONE_IN} IN (1, 2), CASE WHEN n % 3 = 0 OR n % {ONE_IN} = 0 THEN timestamptz '2026-01-02' END,
        timestamptz '2026-01-01' + n / 2 * interval '1 second', now(),
        {", ".join(_AMOUNT_OF.get(name, "0") for name in AMOUNTS)}
    FROM generate_series(1, {PAYMENTS}) AS n
"""

# Without an index; and without sorting, which those that are pending and of one moment need.
_OTHER_PLANS: Final = {"only sequential scans", "no sorting"}

Asked = tuple[str, tuple[Any, ...]]


@pytest.fixture
async def engine(floor: Shopfloor) -> AsyncIterator[AsyncEngine]:
    async with floor.pool.acquire() as connection:
        await connection.execute(_FILL)
        await connection.execute("ANALYZE payments")
    engine = create_engine(floor.database_url, pool_size=1)
    yield engine
    await engine.dispose()


async def test_what_is_orphaned_or_pending_is_found_by_index(floor: Shopfloor, engine: AsyncEngine) -> None:
    asked: list[Asked] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
    assert await _listed(engine, None, orphaned=True) == FEW
    assert await _listed(engine, "pending") == FEW
    await MoneyWatch(floor.pool).look()
    assert REGISTRY.get_sample_value("tidegate_payments_orphaned") == FEW
    queries = [(query, values) for query, values in asked if "FROM payments" in query]
    assert len(queries) == 2 * (FEW // _PAGE + 1)
    watched: list[Asked] = [
        (money_watch._PENDING, (money_watch._PENDING_MAX,)),
        (money_watch._ORPHANED, (money_watch._ORPHANED_MAX,)),
    ]
    for name, switched_off in PLANS.items():
        if name in _OTHER_PLANS:
            continue
        for query, values in queries + watched:
            buffers = await _buffers(floor, switched_off, query, values)
            assert buffers < BUFFERS_MAX, f"{name}: {buffers} pages were read for {query}"


_PAGE: Final = 8


async def _listed(engine: AsyncEngine, status: PaymentStatus | None, *, orphaned: bool = False) -> int:
    """How many are listed, page by page; they must be in order."""
    listed: list[views.PaymentView] = []
    cursor = None
    while True:
        async with engine.connect() as connection:
            page = await views.newest(connection, status, cursor, _PAGE, orphaned=orphaned)
        listed += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    places = [(payment.created_at, payment.id) for payment in listed]
    assert places == sorted(set(places), reverse=True)
    return len(listed)


async def _buffers(floor: Shopfloor, switched_off: tuple[str, ...], query: str, values: tuple[Any, ...]) -> int:
    """How many pages the query reads, whatever its values, planned without these."""
    async with floor.pool.acquire() as connection, connection.transaction():
        for name in ("plan_cache_mode = force_generic_plan", *(f"{name} = off" for name in switched_off)):
            await connection.execute(f"SET LOCAL {name}")
        told = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *values)
    plan = json.loads(told)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_orders_that_end_find_their_payments_by_the_index_however_few_there_were_at_first(
    floor: Shopfloor,
) -> None:
    """A connection plans the trigger's update once, here while a scan of the whole table would be cheaper."""
    await floor.fill(MUG=10)
    await floor.post_all(floor.place(0, MUG=1) for _ in range(2))
    await floor.drain()
    async with floor.pool.acquire() as connection:
        first, second = [row["id"] for row in await connection.fetch("SELECT id FROM orders ORDER BY id")]
        await connection.execute(_FILL.replace(f"generate_series(1, {PAYMENTS})", "generate_series(1, 1)"))
        await connection.execute("ANALYZE payments")
        end = "UPDATE orders SET status = 'cancelled' WHERE id = $1"
        await connection.execute(end, first)
        await connection.execute(_FILL.replace("generate_series(1,", "generate_series(2,"))
        async with connection.transaction():
            await connection.execute(end, second)
            scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'payments'"
            assert await connection.fetchval(scans) == 0
