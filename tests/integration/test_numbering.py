"""Orders are numbered without gaps, in the order of the log, whichever way their batch is written."""

from __future__ import annotations

import asyncio

import pytest

from domain.numbers import ORDERS, numbered
from domain.orders import CancelOrder, ConfirmOrder
from tests.integration.gates import gate_before
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.apply import Applier
from workers.runs import AT_ONCE_MAX_COMMANDS


async def _numbers(floor: Shopfloor) -> list[str]:
    """Of all orders, in the order of the log. Event and row say the same, which `verify` holds as well."""
    rows = await floor.pool.fetch(
        "SELECT number, data->>'number' AS said FROM orders JOIN events ON seq = placed_seq ORDER BY seq"
    )
    assert all(row["number"] == row["said"] for row in rows)
    return [row["number"] for row in rows]


def _first(count: int) -> list[str]:
    return [numbered(ORDERS, number) for number in range(1, count + 1)]


@pytest.mark.parametrize("way", ["_transact", "_at_once"])
async def test_numbers_go_on_where_the_last_batch_ended_and_refusals_take_none(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    await floor.fill(MUG=7, LAMP=100)
    if way == "_at_once":
        monkeypatch.setattr("workers.runs.AT_ONCE_MAX_COMMANDS", 0)
    with monkeypatch.context() as patched:
        patched.setattr(Applier, way, None)
        for _ in range(3):
            await floor.post_all(floor.place(number % 4, MUG=1) for number in range(3))
            await floor.drain()
    assert await _numbers(floor) == _first(7)
    await floor.verified()


async def test_both_ways_count_on_together(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    floor.batch_max_commands = 2 * AT_ONCE_MAX_COMMANDS
    for count in (2, AT_ONCE_MAX_COMMANDS + 1, 3):
        await floor.post_all(floor.place(number % 4, MUG=1) for number in range(count))
        await floor.drain()
    assert await _numbers(floor) == _first(5 + AT_ONCE_MAX_COMMANDS + 1)
    await floor.verified()


async def test_batches_of_several_workers_number_in_the_order_of_their_commits(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    floor.batch_max_commands = 2 * AT_ONCE_MAX_COMMANDS
    for mailbox in range(4):
        await floor.post_all(floor.place(mailbox, MUG=1) for _ in range(AT_ONCE_MAX_COMMANDS + 1))
    async with gate_before(floor.database_url, "event_counter", holds=4) as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in range(4)]
        await gate.wait_for(4)
        await gate.open()
        await asyncio.gather(*drains)
    assert await _numbers(floor) == _first(4 * (AT_ONCE_MAX_COMMANDS + 1))
    await floor.verified()


async def test_an_order_keeps_its_number_whatever_becomes_of_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    kept, cancelled = floor.place(0, MUG=1), floor.place(0, MUG=1)
    # In one batch with its placing, and in another.
    await floor.post_all([kept, cancelled, ConfirmOrder(cancelled.order_id), ConfirmOrder(kept.order_id)], actor=STAFF)
    await floor.drain()
    await floor.post(CancelOrder(cancelled.order_id), actor=STAFF)
    await floor.drain()
    assert await _numbers(floor) == _first(2)
    assert await floor.order_status(cancelled.order_id) == "cancelled"
    await floor.verified()
