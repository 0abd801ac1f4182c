"""Races, forced to an exact interleaving: several drainers have decided on the same stock before any of them writes."""

import asyncio
from collections import Counter
from collections.abc import Iterable

import pytest

from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder
from domain.stock import AdjustStock, ReceiveStock, SetStock
from tests.integration.gates import Gate, gate_before
from tests.integration.shopfloor import ANN, STAFF, Shopfloor, retries

pytestmark = pytest.mark.usefixtures("both_ways")

UNITS, BUYERS = 50, 200


def _drain(floor: Shopfloor, mailboxes: Iterable[int]) -> list["asyncio.Task[None]"]:
    """A separate drainer for each mailbox, as in as many worker processes."""
    return [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in mailboxes]


async def _race(floor: Shopfloor, *mailboxes: int) -> None:
    """Drains the mailboxes concurrently; the first batch of each is decided before any of them writes."""
    async with gate_before(floor.database_url, "event_counter") as gate:
        drains = _drain(floor, mailboxes)
        await gate.wait_for(len(mailboxes))
        await gate.open()
        await asyncio.gather(*drains)


@pytest.mark.parametrize("batch_max_commands", [64, 7])
async def test_two_hundred_buyers_and_fifty_units_give_exactly_fifty_orders(
    database_url: str, redis_url: str, batch_max_commands: int
) -> None:
    async with Shopfloor(database_url, redis_url, batch_max_commands=batch_max_commands) as floor:
        await floor.fill(MUG=UNITS)
        # 50 buyers in each mailbox: each batch by itself finds enough for all of its buyers.
        posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(BUYERS))
        moved = retries("balance_moved", "log_moved")
        await _race(floor, *range(4))
        assert Counter(await floor.statuses(posted)) == {
            "applied": UNITS,
            "rejected: insufficient_stock": BUYERS - UNITS,
        }
        assert retries("balance_moved", "log_moved") > moved, "some batch had to look again, alone"
        assert await floor.stock("MUG") == (UNITS, UNITS)
        assert await floor.pool.fetchval("SELECT count(*) FROM orders") == UNITS
        counts = await floor.verified()
        assert counts["commands_rejected"] == BUYERS - UNITS


async def test_two_batches_that_fit_only_one_at_a_time(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post_all([floor.place(0, MUG=6), floor.place(1, MUG=6)])
    moved = retries("balance_moved", "log_moved")
    await _race(floor, 0, 1)
    assert sorted(await floor.statuses(posted)) == ["applied", "rejected: insufficient_stock"]
    assert retries("balance_moved", "log_moved") == moved + 1
    assert await floor.stock("MUG") == (10, 6)
    await floor.verified()


async def test_two_batches_that_both_fit_do_not_wait_for_each_other(floor: Shopfloor) -> None:
    await floor.fill(MUG=12)
    posted = await floor.post_all([floor.place(0, MUG=6), floor.place(1, MUG=6)])
    moved = retries("balance_moved")
    await _race(floor, 0, 1)
    assert await floor.statuses(posted) == ["applied"] * 2
    assert retries("balance_moved") == moved
    assert await floor.stock("MUG") == (12, 12)
    await floor.verified()


async def test_an_order_of_two_skus_and_one_of_the_same_two_the_other_way_round(floor: Shopfloor) -> None:
    await floor.fill(MUG=100, LAMP=100)
    posted = await floor.post_all(
        floor.place(1, MUG=1, LAMP=2) if number % 2 else floor.place(0, LAMP=2, MUG=1) for number in range(60)
    )
    await _race(floor, 0, 1)
    said = Counter(await floor.statuses(posted))
    assert said == {"applied": 50, "rejected: insufficient_stock": 10}
    assert (await floor.stock("MUG"), await floor.stock("LAMP")) == ((100, 50), (100, 100))
    await floor.verified()


async def test_place_and_cancel_sent_together_apply_in_that_order(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    orders = [floor.place(0, MUG=2) for _ in range(20)]
    pairs = [command for order in orders for command in (order, CancelOrder(order.order_id))]
    posted = await floor.post_all(pairs)
    await asyncio.gather(*_drain(floor, [0, 0, 0]))
    await floor.drain(0)
    assert await floor.statuses(posted) == ["applied"] * 40
    settled = await floor.settled()
    assert [command_id for command_id in settled if command_id in set(posted)] == posted
    assert {await floor.order_status(order.order_id) for order in orders} == {"cancelled"}
    assert await floor.stock("MUG") == (100, 0)
    await floor.verified()


async def test_a_cancellation_before_its_order_finds_no_order(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=2)
    posted = await floor.post_all([CancelOrder(order.order_id), order, CancelOrder(order.order_id)])
    await floor.drain(0)
    assert await floor.statuses(posted) == ["rejected: order_not_found", "applied", "applied"]
    await floor.verified()


async def test_stock_taken_meanwhile_is_missing_even_to_an_order_that_is_cancelled_at_once(floor: Shopfloor) -> None:
    """An order that is placed and cancelled in one batch takes nothing in the end, but it existed for a moment: the log
    is folded event by event, and there must have been enough for it."""
    await floor.fill(MUG=10)
    passing = floor.place(0, MUG=5)
    posted = await floor.post_all([passing, CancelOrder(passing.order_id), floor.place(1, MUG=8)])
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        (slow,) = _drain(floor, [0])
        await gate.wait_for(1)
        await floor.drain(1)
        await gate.open()
        await slow
    assert await floor.statuses(posted) == ["rejected: insufficient_stock", "rejected: order_not_found", "applied"]
    assert await floor.stock("MUG") == (10, 8)
    await floor.verified()


async def test_stock_taken_meanwhile_is_missing_even_if_more_is_received_later(floor: Shopfloor) -> None:
    await floor.fill(MUG=5)
    shelf = floor.mailbox_of(ReceiveStock("MUG", 1))
    elsewhere = (shelf + 1) % floor.mailbox_count
    posted = [
        await floor.post(floor.place(shelf, MUG=5)),
        await floor.post(ReceiveStock("MUG", 5), actor=STAFF),
        await floor.post(floor.place(elsewhere, MUG=5)),
    ]
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        (slow,) = _drain(floor, [shelf])
        await gate.wait_for(1)
        await floor.drain(elsewhere)
        await gate.open()
        await slow
    assert await floor.statuses(posted) == ["rejected: insufficient_stock", "applied", "applied"]
    assert await floor.stock("MUG") == (10, 5)
    await floor.verified()


async def test_stock_written_off_while_it_is_being_sold(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    shelf = floor.mailbox_of(ReceiveStock("MUG", 1))
    elsewhere = (shelf + 1) % floor.mailbox_count
    posted = [
        await floor.post(AdjustStock("MUG", -6, "stolen"), actor=STAFF),
        await floor.post(floor.place(elsewhere, MUG=6)),
    ]
    await _race(floor, shelf, elsewhere)
    assert sorted(await floor.statuses(posted)) == ["applied", "rejected: insufficient_stock"]
    on_hand, reserved = await floor.stock("MUG")
    assert (on_hand, reserved) in {(10, 6), (4, 0)}
    await floor.verified()


@pytest.mark.parametrize("counted", [10, 4])
async def test_a_count_stands_whatever_was_received_meanwhile(floor: Shopfloor, counted: int) -> None:
    """A count is decided on the stock at hand; goods received before it is written make it be decided again."""
    await floor.fill(MUG=10)
    count = await floor.post(SetStock("MUG", counted), mailbox=0, actor=STAFF)
    received = await floor.post(ReceiveStock("MUG", 7), mailbox=1, actor=STAFF)
    await _race(floor, 0, 1)
    settled = await floor.settled()
    assert {settled[count].status, settled[received].status} == {"applied"}
    later = settled[count].seq > settled[received].seq
    assert await floor.stock("MUG") == (counted if later else counted + 7, 0)
    await floor.verified()


async def test_a_count_below_what_is_reserved_is_refused(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    placed = await floor.post(floor.place(0, MUG=8))
    count = await floor.post(SetStock("MUG", 5), mailbox=1, actor=STAFF)
    await _race(floor, 0, 1)
    statuses = await floor.statuses([placed, count])
    assert statuses in (["applied", "rejected: insufficient_stock"], ["rejected: insufficient_stock", "applied"])
    await floor.verified()


async def test_a_sale_was_reserved_and_takes_nothing_from_others(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    sold = floor.place(0, MUG=6)
    await floor.post(sold)
    await floor.drain()
    moved = retries("balance_moved")
    posted = await floor.post_all([ConfirmOrder(sold.order_id), floor.place(1, MUG=4)])
    await _race(floor, 0, 1)
    assert await floor.statuses(posted) == ["applied"] * 2
    assert retries("balance_moved") == moved
    assert await floor.stock("MUG") == (4, 4)
    await floor.verified()


async def test_returned_stock_that_is_wanted_meanwhile_is_there_or_not_yet(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    returned = floor.place(0, MUG=6)
    await floor.post_all([returned, ConfirmOrder(returned.order_id)])
    await floor.drain()
    posted = await floor.post_all([CancelOrder(returned.order_id), floor.place(1, MUG=10)])
    await _race(floor, 0, 1)
    given_back, wanted = await floor.statuses(posted)
    assert given_back == "applied"
    reserved = {"applied": 10, "rejected: insufficient_stock": 0}[wanted]
    assert await floor.stock("MUG") == (10, reserved)
    await floor.verified()


async def test_of_two_last_moves_of_one_order_the_first_counts(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    order = floor.place(0, MUG=6)
    posted = await floor.post_all(
        [order, ExpireOrder(order.order_id), ConfirmOrder(order.order_id), CancelOrder(order.order_id)], actor=ANN
    )
    await asyncio.gather(*_drain(floor, [0, 0]))
    await floor.drain(0)
    assert await floor.statuses(posted) == ["applied", "applied", *["rejected: order_state_conflict"] * 2]
    assert await floor.stock("MUG") == (10, 0)
    await floor.verified()


async def _gapless(floor: Shopfloor) -> list[int]:
    """Reads the log, in which no reader may ever see a gap."""
    seen = await floor.log()
    assert seen == list(range(1, len(seen) + 1)), "the log has a gap"
    return seen


async def test_no_reader_ever_sees_a_later_event_before_an_earlier_one(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    first = await floor.post_all(floor.place(0, MUG=1) for _ in range(10))
    second = await floor.post_all(floor.place(1, MUG=1) for _ in range(10))
    before = await _gapless(floor)
    async with gate_before(floor.database_url, "commands") as gate:
        # The first has its places in the log but has not committed them yet.
        (slow,) = _drain(floor, [0])
        await gate.wait_for(1)
        (other,) = _drain(floor, [1])
        await gate.wait_for_blocked(2)
        assert await _gapless(floor) == before
        await gate.open()
        await asyncio.gather(slow, other)
    await _gapless(floor)
    settled = await floor.settled()
    assert [command_id for command_id in settled if command_id in {*first, *second}] == first + second
    await floor.verified()


async def test_a_reader_alongside_many_drainers_never_sees_a_gap(floor: Shopfloor) -> None:
    await floor.fill(MUG=100, LAMP=10_000)
    filled = len(await floor.log())
    await floor.post_all(
        floor.place(number % 4, MUG=1) if number % 3 == 0 else floor.place(number % 4, LAMP=2)
        for number in range(1_200)
    )
    drains = _drain(floor, [*range(4), *range(4)])
    looks = 0
    while not all(drain.done() for drain in drains):
        await _gapless(floor)
        looks += 1
    await floor.drain()
    assert looks > 3
    assert len(await _gapless(floor)) == filled + 1_200
    assert await floor.stock("MUG") == (100, 100)
    await floor.verified()


async def test_a_batch_that_waits_for_its_turn_sees_what_was_done_before_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    # Together they want more than there is, so both look again, alone: one must wait, and then see what is left.
    posted = await floor.post_all([floor.place(mailbox, MUG=quantity) for quantity in (6, 5, 4) for mailbox in (0, 1)])
    async with gate_before(floor.database_url, "commands") as gate:
        drains = _drain(floor, [0, 1])
        await _wait_for_both(gate)
        await gate.open()
        await asyncio.gather(*drains)
    assert Counter(await floor.statuses(posted)) == {"applied": 2, "rejected: insufficient_stock": 4}
    assert await floor.stock("MUG") == (10, 10)
    await floor.verified()


async def _wait_for_both(gate: Gate) -> None:
    await gate.wait_for(1)  # one is in the middle of its batch
    await gate.wait_for_blocked(2)  # and the other can only wait for that
