"""Tasks that wait for the outcomes of their commands: one that stops waiting does not affect the others."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain.stock import ReceiveStock
from runtime.database import asyncpg_dsn
from tests.integration.background import until
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.tasks.outcomes import OutcomeWaiter


@pytest.mark.parametrize("which", [0, 1])
async def test_one_that_is_cancelled_while_outcomes_are_read_holds_up_nobody(floor: Shopfloor, which: int) -> None:
    """Outcomes come in no particular order, so each of the two is cancelled once."""
    await floor.fill(MUG=50)
    posted = [await floor.post(ReceiveStock("MUG", 1), actor=STAFF) for _ in range(2)]
    await floor.drain()
    dsn = asyncpg_dsn(floor.database_url)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool, asyncpg.create_pool(dsn) as beside:
        reader = await pool.fetchval("SELECT pg_backend_pid()")
        waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'"
        waiter = OutcomeWaiter(pool)
        async with beside.acquire() as holder, holder.transaction():
            await holder.execute("LOCK TABLE commands IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.create_task(waiter.wait(command_id)) for command_id in posted]
            await until(lambda: beside.fetchval(waits, reader))
            cancelled = waiting.pop(which)
            cancelled.cancel()
            await asyncio.wait([cancelled])
        (outcome,) = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert outcome is not None
        assert outcome.status == "applied"
