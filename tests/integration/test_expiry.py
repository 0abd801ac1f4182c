"""An expired hold releases its stock; an order confirmed in time keeps it, and of two that race one wins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from domain.orders import CancelOrder, ConfirmOrder
from gateway.views.reactions import overdue_holds
from runtime.engine import create_engine
from tests.beside import beside
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers.reactions.expiry import Expiry
from workers.reactions.log_pages import read_page

_MOMENTS = {
    "events": ["occurred_at"],
    "event_counter": ["last_at"],
    "commands": ["accepted_at", "applied_at"],
    "orders": ["placed_at", "updated_at"],
    "products": ["created_at", "updated_at"],
    "variants": ["created_at", "updated_at"],
    "reactions": ["due_at"],
}


@asynccontextmanager
async def expiring(floor: Shopfloor) -> AsyncIterator[Stage]:
    """The reaction, in a shop whose workers are running."""
    await floor.fill(TEA=1_000)
    async with beside(floor.work), tools(floor, hold_seconds=900) as given:
        stage = Stage(floor, Expiry(given))
        await stage.begin()
        yield stage


async def applied(floor: Shopfloor) -> None:
    """Waits until the workers have applied and removed everything in the mailboxes."""

    async def all_are_empty() -> bool:
        return not sum([await floor.waiting(mailbox) for mailbox in range(floor.mailbox_count)])

    await eventually_seen("empty mailboxes", all_are_empty, within_seconds=10)


async def place(floor: Shopfloor, count: int) -> list[UUID]:
    orders = [floor.place(number % floor.mailbox_count, TEA=1) for number in range(count)]
    await floor.post_all(orders)
    await applied(floor)
    return [order.order_id for order in orders]


async def let_time_pass(floor: Shopfloor) -> None:
    """Moves everything that has happened a quarter of an hour into the past, in every table with moments."""
    for table, moments in _MOMENTS.items():
        shifts = ", ".join(f"{moment} = {moment} - interval '900 seconds'" for moment in moments)
        await floor.pool.execute(f"UPDATE {table} SET {shifts}")


async def statuses(floor: Shopfloor) -> dict[str, int]:
    rows = await floor.pool.fetch("SELECT status, count(*) FROM orders GROUP BY status")
    return {row["status"]: row["count"] for row in rows}


async def test_a_hold_expires_when_its_time_is_up_and_not_before(floor: Shopfloor) -> None:
    async with expiring(floor) as stage:
        await place(floor, 5)
        assert not await stage.run()
        assert await statuses(floor) == {"placed": 5}
        await let_time_pass(floor)
        await place(floor, 1)
        await stage.run()
        assert await statuses(floor) == {"expired": 5, "placed": 1}
        assert await floor.stock("TEA") == (1_000, 1)
        actors = await floor.pool.fetch("SELECT DISTINCT actor FROM events WHERE type = 'order.expired'")
        assert [row["actor"] for row in actors] == ["tidegate"]
    await floor.verified()


async def test_metrics_count_overdue_holds(floor: Shopfloor, database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with expiring(floor) as stage:
            kept, *_ = await place(floor, 3)
            await floor.post_all([ConfirmOrder(kept)], actor=STAFF)
            await applied(floor)
            assert await overdue_holds(engine, 900) == 0
            await let_time_pass(floor)
            assert await overdue_holds(engine, 900) == 2
            await stage.run_to_the_end()
            assert await overdue_holds(engine, 900) == 0
    finally:
        await engine.dispose()


async def test_only_placed_orders_expire(floor: Shopfloor) -> None:
    async with expiring(floor) as stage:
        kept, cancelled, forgotten = await place(floor, 3)
        await floor.post_all((ConfirmOrder(kept), CancelOrder(cancelled)), actor=STAFF)
        await applied(floor)
        await let_time_pass(floor)
        await stage.run_to_the_end()
        found = [await floor.order_status(order_id) for order_id in (kept, cancelled, forgotten)]
        assert found == ["confirmed", "cancelled", "expired"]
        commands = await floor.pool.fetchval("SELECT count(*) FROM commands WHERE type = 'ExpireOrder'")
        assert commands == 1
    await floor.verified()


async def test_done_twice_it_is_one_command(floor: Shopfloor) -> None:
    async with expiring(floor) as stage:
        await place(floor, 3)
        await let_time_pass(floor)
        # As by two processes, one of which had been stopped: both have seen the orders placed.
        page = await read_page(floor.pool, stage.reaction, 0)
        await asyncio.gather(*(stage.reaction.handle_many(page.records) for _ in range(2)))
        await stage.run_to_the_end()
        assert await statuses(floor) == {"expired": 3}
        events = await floor.pool.fetchval("SELECT count(*) FROM events WHERE type = 'order.expired'")
        assert events == 3
    await floor.verified()


async def test_a_confirmation_that_races_with_it_has_one_winner(floor: Shopfloor) -> None:
    async with expiring(floor) as stage:
        order_ids = await place(floor, 200)
        await let_time_pass(floor)

        async def confirm_all() -> None:
            for order_id in order_ids:
                await floor.post(ConfirmOrder(order_id), actor=STAFF)

        await asyncio.gather(confirm_all(), stage.run_to_the_end())
        await applied(floor)
        found = await statuses(floor)
        assert found.keys() <= {"confirmed", "expired"}
        assert sum(found.values()) == 200
        moves = await floor.pool.fetch(
            "SELECT subject FROM events WHERE type IN ('order.confirmed', 'order.expired') GROUP BY subject"
            " HAVING count(*) > 1"
        )
        assert moves == []
        assert await floor.stock("TEA") == (1_000 - found.get("confirmed", 0), 0)
    await floor.verified()
