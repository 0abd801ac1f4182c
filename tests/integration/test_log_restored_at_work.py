"""Postgres is restored while workers are in the middle of a batch: nothing is applied to a log that lacks what Redis,
or the worker itself, knows to be committed."""

from __future__ import annotations

import pytest

from runtime.feed import Publisher
from runtime.mailboxes.fence import OutOfStep
from runtime.mailboxes.inbox import Inbox
from tests.integration.restoring import backed_up, branches, brought_into_step
from tests.integration.shopfloor import Shopfloor
from tests.servers import Databases
from workers.apply import Applier
from workers.runs import Run


async def test_a_log_restored_between_reading_and_applying_takes_nothing(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """A batch compares what it knew before it was read with the log that it writes to, not with an earlier look at it:
    a new connection may have reached the restored one."""
    async with backed_up(databases, database_url, redis_url) as (floor, backup):
        await floor.post(floor.place(0, MUG=1))
        await floor.drain(0)
        await floor.post(floor.place(1, MUG=1))
        async with Shopfloor(backup, redis_url, numbers=floor.numbers) as restored:
            before = await restored.log()
            positions, _ = await Applier(floor.pool, floor.publisher, floor.inbox.fence).positions([1])
            entries = await floor.inbox.read(1, positions[1], 10)
            applier = Applier(restored.pool, floor.publisher, floor.inbox.fence)
            with pytest.raises(OutOfStep):
                await applier.apply(Run(positions, [(1, entry) for entry in entries]))
            assert await restored.log() == before


async def test_what_redis_was_asked_before_a_connection_was_opened_does_not_count_for_it(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """A worker asks Redis, another one commits and tells Redis, and Postgres is restored before the first one opens the
    connection that it writes on."""
    async with backed_up(databases, database_url, redis_url) as (floor, backup):
        await floor.post(floor.place(1, MUG=1))
        positions, _ = await Applier(floor.pool, floor.publisher, floor.inbox.fence).positions([1])
        slow = floor.new_inbox(Inbox)
        found = await slow.read_each(positions, 10)
        await applied_without_trim(floor, floor.publisher, 0)
        async with Shopfloor(backup, redis_url, numbers=floor.numbers) as restored:
            before = await restored.log()
            applier = Applier(restored.pool, floor.publisher, slow.fence)
            with pytest.raises(OutOfStep):
                await applier.apply(Run(positions, [(1, entry) for entry in found[1]]))
            assert await restored.log() == before


@pytest.mark.parametrize("who", ["the same worker", "another worker"])
async def test_a_log_restored_between_a_commit_and_the_trim_gives_no_seq_out_again(
    databases: Databases, database_url: str, redis_url: str, who: str
) -> None:
    """Clients may rely on the seq of an event they received, so Redis is told of the commit first; and a worker that
    could not reach Redis remembers what it committed."""
    async with backed_up(databases, database_url, redis_url) as (floor, backup):
        inbox = floor.inbox if who == "the same worker" else floor.new_inbox(Inbox)
        publisher = Deaf(redis_url) if who == "the same worker" else floor.publisher
        await applied_without_trim(floor, publisher, 0)
        async with Shopfloor(backup, redis_url, numbers=floor.numbers) as restored:
            before = await restored.log()
            waiting = await floor.post(floor.place(1, MUG=1))
            applier = Applier(restored.pool, publisher, inbox.fence)
            positions, _ = await applier.positions([1])
            found = await inbox.read_each(positions, 10)
            with pytest.raises(OutOfStep):
                await applier.apply(Run(positions, [(1, entry) for entry in found[1]]))
            assert await restored.log() == before
            await inbox.fall_asleep("drainer", {})
            await brought_into_step(restored)
            assert (await branches(backup))[-1].after_seq == before[-1]
            await restored.drain()
            assert await restored.statuses([waiting]) == ["applied"]
            await restored.verified()


class Deaf(Publisher):
    """Redis is away whenever a worker tells what it committed."""

    async def publish(self, *_: object, **__: object) -> None:
        pass


async def applied_without_trim(floor: Shopfloor, publisher: Publisher, mailbox: int) -> None:
    """Applies an order, as a worker does that is stopped afterwards."""
    await floor.post(floor.place(mailbox, MUG=1))
    applier = Applier(floor.pool, publisher, floor.inbox.fence)
    positions, _ = await applier.positions([mailbox])
    entries = await floor.inbox.read(mailbox, positions[mailbox], 10)
    await applier.apply(Run(positions, [(mailbox, entry) for entry in entries]))
    await publisher.flush()
