"""Draining a mailbox: in order, once, by one drainer at a time, and no drainer falls asleep over a command."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from domain.model import Wanted
from domain.orders import CancelOrder, PlaceOrder
from domain.stock import AdjustStock, ReceiveStock
from runtime.database import LOST_CONNECTION
from runtime.mailboxes.inbox import Entry, Inbox
from runtime.mailboxes.redis_keys import LEADER_KEY, awake_key
from tests.integration.gates import gate_before
from tests.integration.shopfloor import STAFF, Shopfloor


async def _order_mugs(floor: Shopfloor, count: int, mailbox: int = 0) -> list[UUID]:
    """Orders of one mug each; returns the commands' ids."""
    return await floor.post_all(floor.place(mailbox, MUG=1) for _ in range(count))


async def test_commands_of_a_mailbox_are_applied_in_the_order_they_were_posted(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    posted = await _order_mugs(floor, 3 * floor.batch_max_commands + 5)
    await floor.drain(0)
    settled = await floor.settled()
    assert [command_id for command_id in settled if command_id in set(posted)] == posted
    assert {settled[command_id].status for command_id in posted} == {"applied"}
    assert await floor.stock("MUG") == (1_000, len(posted))
    await floor.verified()


async def test_each_command_sees_the_effects_of_those_before_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=0, LAMP=1)
    # One mailbox for all: the stock at an order's turn follows from what was posted before it.
    shelf = floor.mailbox_of(ReceiveStock("MUG", 1))
    order_id = floor.new_id(shelf)
    posted = [
        await floor.post(floor.place(shelf, MUG=1)),
        await floor.post(ReceiveStock("MUG", 2), actor=STAFF),
        await floor.post(floor.place(shelf, order_id=order_id, MUG=2)),
        await floor.post(AdjustStock("MUG", -1, "broken"), actor=STAFF),
        await floor.post(CancelOrder(order_id)),
        await floor.post(AdjustStock("MUG", -1, "broken"), actor=STAFF),
        await floor.post(CancelOrder(order_id)),
    ]
    await floor.drain(shelf)
    assert await floor.statuses(posted) == [
        "rejected: insufficient_stock",
        "applied",
        "applied",
        "rejected: insufficient_stock",
        "applied",
        "applied",
        "rejected: order_state_conflict",
    ]
    assert await floor.stock("MUG") == (1, 0)
    await floor.verified()


async def test_the_position_passes_applied_commands_and_they_leave_the_mailbox(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await _order_mugs(floor, 70, mailbox=1)
    last = (await floor.inbox.read(1, "0-0", 1_000))[-1].entry_id
    await floor.drain(1)
    assert await floor.waiting(1) == 0
    assert not await floor.redis.exists(awake_key(1))
    row = await floor.pool.fetchrow("SELECT position FROM mailboxes WHERE mailbox = 1")
    assert row is not None
    assert row["position"] == last
    await floor.verified()


async def test_an_empty_or_unused_mailbox_is_drained_at_once(floor: Shopfloor) -> None:
    drainer = floor.new_drainer()
    await drainer.drain([3])
    await drainer.drain([3])
    assert await floor.log() == []
    await floor.verified()


async def test_an_unused_mailbox_can_be_drained_by_two_at_once(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await floor.pool.execute("DELETE FROM mailboxes WHERE mailbox = 3 AND position = '0-0'")
    posted = await _order_mugs(floor, 10, mailbox=3)
    await asyncio.gather(*(floor.new_drainer().drain([3]) for _ in range(4)))
    await floor.drain(3)
    assert await floor.statuses(posted) == ["applied"] * 10
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_drainer_that_finds_the_mailbox_taken_leaves(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = await _order_mugs(floor, 10)
    async with gate_before(floor.database_url, "commands") as gate:
        first = asyncio.create_task(floor.new_drainer().drain([0]))
        await gate.wait_for(1)
        # The first is in the middle of its batch. The second arrives, sees that, and is done.
        await floor.new_drainer().drain([0])
        assert not first.done()
        assert await floor.waiting(0) == 10, "nothing may be trimmed before it is committed"
        await gate.open()
        await first
    assert await floor.statuses(posted) == ["applied"] * 10
    assert await floor.stock("MUG") == (100, 10)
    await floor.verified()


class _HeldInbox(Inbox):
    """An inbox whose first read returns only when the test says so."""

    def hold(self) -> None:
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()

    async def read_each(
        self, positions: Mapping[int, str], count: int, *, wait_milliseconds: int | None = None
    ) -> dict[int, list[Entry]]:
        entries = await super().read_each(positions, count, wait_milliseconds=wait_milliseconds)
        self.has_read.set()
        await self.go_on.wait()
        return entries


async def test_a_drainer_reads_again_if_another_has_applied_what_it_read(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = await _order_mugs(floor, 10)
    slow = floor.new_inbox(_HeldInbox)
    assert isinstance(slow, _HeldInbox)
    slow.hold()
    second = asyncio.create_task(floor.new_drainer(slow).drain([0]))
    await slow.has_read.wait()
    await floor.drain(0)
    posted += await _order_mugs(floor, 5)
    slow.go_on.set()
    await second
    assert await floor.statuses(posted) == ["applied"] * 15
    assert await floor.stock("MUG") == (100, 15)
    await floor.verified()


async def test_many_drainers_of_one_mailbox_do_no_harm(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    posted = await _order_mugs(floor, 400)
    await asyncio.gather(*(floor.new_drainer().drain([0]) for _ in range(8)))
    await floor.drain(0)
    settled = await floor.settled()
    assert [command_id for command_id in settled if command_id in set(posted)] == posted
    assert await floor.stock("MUG") == (1_000, 400)
    await floor.verified()


class _LateCommand(Inbox):
    """An inbox that receives a command after the mailbox was found empty and before it falls asleep."""

    floor: Shopfloor
    posted: list[UUID]

    async def fall_asleep(self, actor: str, positions: Mapping[int, str]) -> bool:
        if not self.posted:
            self.posted += await _order_mugs(self.floor, 1)
        return await super().fall_asleep(actor, positions)


async def test_a_command_that_arrives_between_empty_and_asleep_is_applied(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await _order_mugs(floor, 3)
    floor.woken.clear()
    inbox = floor.new_inbox(_LateCommand)
    assert isinstance(inbox, _LateCommand)
    inbox.floor, inbox.posted = floor, []
    await floor.new_drainer(inbox).drain([0])
    # Its sender saw the mailbox awake and woke nobody: the drainer itself had to look once more.
    assert floor.woken == []
    assert await floor.statuses(inbox.posted) == ["applied"]
    assert await floor.waiting(0) == 0
    await floor.verified()


async def test_a_forgotten_mailbox_is_found_at_the_next_look(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await _order_mugs(floor, 1, mailbox=2)
    assert await floor.forgotten() == [], "a drainer was asked for a moment ago"
    await floor.redis.delete(awake_key(2))  # and it was never heard of since
    assert await floor.forgotten() == [2]
    assert await floor.inbox.wake(2)
    assert not await floor.inbox.wake(2), "one call is enough"
    assert await floor.forgotten() == []
    await floor.drain(2)
    assert await floor.forgotten() == []
    await floor.verified()


async def test_a_connection_that_breaks_in_the_middle_leaves_the_batch_undone(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = await _order_mugs(floor, 10)
    async with gate_before(floor.database_url, "commands") as gate:
        drain = asyncio.create_task(floor.new_drainer().drain([0]))
        await gate.wait_for(1)
        await gate.cut_off()
        (error,) = await asyncio.gather(drain, return_exceptions=True)
        assert isinstance(error, LOST_CONNECTION), repr(error)
        await gate.open()
    assert await floor.statuses(posted) == ["not recorded"] * 10
    assert await floor.waiting(0) == 10
    await floor.drain(0)
    assert await floor.statuses(posted) == ["applied"] * 10
    await floor.verified()


async def test_a_stopping_worker_finishes_its_batch_and_leaves_the_rest(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    posted = await _order_mugs(floor, 5 * floor.batch_max_commands)
    stopped = floor.new_drainer()
    async with gate_before(floor.database_url, "commands") as gate:
        drain = asyncio.create_task(stopped.drain([0]))
        await gate.wait_for(1)
        stopped.stop()
        await gate.open()
        await drain
    assert (await floor.statuses(posted)).count("applied") == floor.batch_max_commands
    assert await floor.forgotten() == [0], "it must not be taken to be still at work"
    assert not await floor.redis.exists(LEADER_KEY)
    await floor.drain(0)
    assert await floor.statuses(posted) == ["applied"] * len(posted)
    await floor.verified()


async def test_the_log_is_read_back_byte_for_byte(floor: Shopfloor) -> None:
    await floor.fill(MUG=5)
    said = 'nul \x00, quote ", newline \n, é, ☃, and a lone \\'
    await floor.post(ReceiveStock("MUG", 1, said), actor=STAFF)
    await floor.drain()
    data = await floor.pool.fetchval("SELECT data::text FROM events ORDER BY seq DESC LIMIT 1")
    assert msgspec.json.decode(data)["reference"] == said
    await floor.verified()


async def test_a_batch_has_a_bound_in_bytes(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, batch_max_bytes=2_000) as floor:
        skus = {f"SKU-{number:030}": 1_000 for number in range(60)}
        await floor.fill(MUG=1_000, **skus)
        large = PlaceOrder(floor.new_id(), "ann", tuple(Wanted(sku, 1) for sku in skus))
        small = [floor.place(0, MUG=1) for _ in range(30)]
        posted = await floor.post_all([*small[:15], large, *small[15:]])

        position, sizes = "0-0", []
        while entries := await floor.inbox.read(0, position, 20):
            sizes.append([sum(map(len, entry.fields.values())) for entry in entries])
            position = entries[-1].entry_id
        assert sum(map(len, sizes)) == len(posted)
        assert all(sum(batch) <= 2_000 or len(batch) == 1 for batch in sizes), sizes
        assert max(map(sum, sizes)) > 2_000, "the large order, alone"
        assert max(map(len, sizes)) > 5, sizes

        await floor.drain()
        assert await floor.statuses(posted) == ["applied"] * len(posted)
        together = await floor.pool.fetch(
            "SELECT sum(length(request)) AS bytes, count(*) FROM commands WHERE id = ANY($1) GROUP BY xmin::text",
            posted,
        )
        assert all(batch["bytes"] <= 2_000 or batch["count"] == 1 for batch in together), together
        await floor.verified()


async def test_entries_beyond_the_byte_limit_are_rarely_read_twice(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Shopfloor(database_url, redis_url, batch_max_bytes=10_000) as floor:
        for _ in range(400):
            await floor.put(0, {b"e": b"x" * 1_000})
        asked: list[int] = []
        plain = Redis.xrange

        def counted(self: Any, name: str, **options: Any) -> Any:
            asked.append(options["count"])
            return plain(self, name, **options)

        monkeypatch.setattr(Redis, "xrange", counted)
        position = "0-0"
        while entries := await floor.inbox.read(0, position, 200):
            assert len(entries) <= 10
            position = entries[-1].entry_id
        assert asked[0] == 200
        assert set(asked[1:]) == {32}
