"""Batches over many mailboxes: one transaction for all commands that wait, in order within each mailbox, without
waiting for busy ones."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.model import Command
from domain.orders import CancelOrder
from domain.stock import ReceiveStock
from runtime.database import create_batch_pool
from tests.integration.drainers import drainer, in_order_in_each
from tests.integration.gates import gate_before
from tests.integration.shopfloor import STAFF, Shopfloor, retries
from tests.system import eventually_seen
from workers import batch
from workers.result import Result

_WITHIN_SECONDS = 20.0


async def _transactions(floor: Shopfloor, commands: list[UUID]) -> int:
    """The number of transactions in which the commands were applied."""
    count: int = await floor.pool.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM commands WHERE id = ANY($1::uuid[])", commands
    )
    return count


async def test_the_commands_of_all_mailboxes_are_applied_in_one_transaction(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 20
    assert await _transactions(floor, posted) == 1
    await in_order_in_each(floor, posted)
    assert [await floor.waiting(mailbox) for mailbox in range(4)] == [0] * 4
    await floor.verified()


async def test_mailboxes_that_hold_less_than_a_batch_fill_one_together(floor: Shopfloor) -> None:
    """Each holds more than is read of all at a time, so it is read alone, but too little for a batch of its own."""
    await floor.fill(MUG=1_000)
    posted = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(4) for _ in range(100))
    await drainer(floor, batch_max_commands=128).drain(range(4))
    assert await floor.statuses(posted) == ["applied"] * 400
    assert await _transactions(floor, posted) == 4, "three full ones and the rest"
    await in_order_in_each(floor, posted)
    await floor.verified()


async def test_across_mailboxes_the_first_come_is_the_first_served(floor: Shopfloor) -> None:
    await floor.fill(MUG=2)
    posted = []
    for mailbox in (3, 0, 2, 1):
        posted.append(await floor.post(floor.place(mailbox, MUG=1)))
        await asyncio.sleep(0.002)  # Redis orders entries of different mailboxes by milliseconds
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 2 + ["rejected: insufficient_stock"] * 2
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_mailbox_that_another_worker_holds_is_left_out(floor: Shopfloor) -> None:
    """Two workers with overlapping sets: neither waits for the other, nor takes what the other has."""
    await floor.fill(MUG=100)
    held = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (0, 1))
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        first = asyncio.create_task(floor.new_drainer().drain([0, 1]))
        await gate.wait_for(1)
        free = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (0, 1, 2, 3))
        second = asyncio.create_task(floor.new_drainer().drain([1, 2, 3]))

        async def got() -> bool:
            return (await floor.statuses(free))[2:] == ["applied"] * 2

        await eventually_seen("the free mailboxes applied", got, within_seconds=_WITHIN_SECONDS)
        assert (await floor.statuses([*held, *free]))[:4] == ["not recorded"] * 4
        await gate.open()
        await asyncio.gather(first, second)
    await floor.drain()
    assert await floor.statuses([*held, *free]) == ["applied"] * 6
    await in_order_in_each(floor, [*held, *free])
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_worker_between_the_halves_of_a_bisected_batch_breaks_no_order(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two halves the positions are unlocked. While the first half runs, another worker holds mailbox 1: its
    entries are left out, and so must be those in the second half, though by then the mailbox is as it was."""
    await floor.fill(MUG=100)
    orders = [floor.place(mailbox, MUG=1) for mailbox in (0, 1)]
    commands: list[Command] = [*orders, *(CancelOrder(order.order_id) for order in orders)]
    posted = [await floor.post(command) for command in commands]
    holder = await floor.pool.acquire()
    holding = holder.transaction()
    apply, calls = batch.apply, 0

    async def refused_once(*arguments: Any, **options: Any) -> Result:
        nonlocal calls
        calls += 1
        if calls == 1:  # the whole batch: bisected
            raise asyncpg.DataError("a value that no column accepts")
        if calls == 2:  # the first half has been applied; the holder of mailbox 1 releases it
            result = await apply(*arguments, **options)
            await holding.rollback()
            return result
        return await apply(*arguments, **options)

    hold: Callable[..., Awaitable[Any]] = asyncpg.Connection.fetch
    looked = 0

    async def fetch(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
        nonlocal looked
        if "FOR UPDATE SKIP LOCKED" in query:
            looked += 1
            if looked == 2:  # before the first half
                await holding.start()
                await holder.execute("SELECT FROM mailboxes WHERE mailbox = 1 FOR UPDATE")
        return await hold(self, query, *arguments, **options)

    monkeypatch.setattr(batch, "apply", refused_once)
    monkeypatch.setattr(asyncpg.Connection, "fetch", fetch)
    try:
        await floor.drain()
    finally:
        await floor.pool.release(holder)
    monkeypatch.undo()
    await floor.drain()
    assert calls >= 3
    assert await floor.statuses(posted) == ["applied"] * 4
    await in_order_in_each(floor, posted)
    assert await floor.stock("MUG") == (100, 0)
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_dead_letter_is_put_aside_even_if_another_mailbox_has_since_used_its_key(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=1)
    await floor.post(order)
    await floor.drain()
    twice = await floor.post(order, key="k")  # the order's id is taken: every attempt breaks a constraint
    apply, calls = batch.apply, 0

    async def overtaken(*arguments: Any, **options: Any) -> Result:
        nonlocal calls
        calls += 1
        if calls == 3:  # it is being put aside, and its key was not found to be used
            await floor.post(floor.place(1, MUG=1), key="k")
            await floor.drain(1)
        return await apply(*arguments, **options)

    monkeypatch.setattr(batch, "apply", overtaken)
    await floor.drain(0)
    assert await floor.statuses([twice]) == ["failed: write_refused"]
    assert await floor.stock("MUG") == (100, 2)
    await floor.verified()


async def test_a_sold_out_product_causes_no_retries(floor: Shopfloor) -> None:
    await floor.fill(MUG=1, LAMP=100)
    await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    moved = retries("balance_moved")
    posted = await floor.post_all(
        floor.place(number % 4, MUG=1) if number % 2 else floor.place(number % 4, LAMP=1) for number in range(40)
    )
    async with gate_before(floor.database_url, "event_counter") as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in range(4)]
        await gate.wait_for(4)  # all have decided on stock that others may still change
        await gate.open()
        await asyncio.gather(*drains)
    assert sorted(await floor.statuses(posted)) == ["applied"] * 20 + ["rejected: insufficient_stock"] * 20
    assert retries("balance_moved") == moved
    await floor.verified()


@pytest.mark.usefixtures("both_ways")
async def test_a_refused_order_is_decided_again_if_there_is_enough_after_all(floor: Shopfloor) -> None:
    """The receipt was in the log before the refusal could be: refusing would be wrong."""
    await floor.fill(MUG=1)
    received = ReceiveStock("MUG", 5)
    mailbox = (floor.mailbox_of(received) + 1) % 4
    posted = await floor.post(floor.place(mailbox, MUG=3))
    moved = retries("balance_moved", "log_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([mailbox]))
        await gate.wait_for(1)  # refused, and not yet written
        await floor.post(received, actor=STAFF)
        await floor.drain(floor.mailbox_of(received))
        await gate.open()
        await selling
    assert await floor.statuses([posted]) == ["applied"]
    assert retries("balance_moved", "log_moved") == moved + 1
    await floor.verified()


async def test_a_wait_for_a_row_does_not_hold_up_other_mailboxes(floor: Shopfloor) -> None:
    """The others wait once, until it is known which mailbox waits for the row; after that they get batches without
    it."""
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=1)
    await floor.post(order)
    await floor.drain()
    by_mailbox = retries("mailbox_by_mailbox")
    waits = await floor.post(CancelOrder(order.order_id))
    others = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (1, 2, 3))
    hurried = await create_batch_pool(floor.database_url, size=2, batch_max_seconds=0.5)
    async with floor.pool.acquire() as holder:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", order.order_id)
        draining = asyncio.create_task(drainer(floor, pool=hurried).drain(range(4)))

        async def are_applied() -> bool:
            return await floor.statuses(others) == ["applied"] * len(others)

        for _ in range(3):
            await eventually_seen("the others applied", are_applied, within_seconds=_WITHIN_SECONDS)
            others += await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (1, 2, 3))
        await eventually_seen("the last ones applied", are_applied, within_seconds=_WITHIN_SECONDS)
        assert await floor.statuses([waits]) == ["not recorded"]
        assert retries("mailbox_by_mailbox") == by_mailbox + 1, "they shared a transaction with it only once"
        await holding.rollback()
        await draining
    hurried.terminate()
    assert await floor.statuses([waits]) == ["applied"]
    await floor.verified()
