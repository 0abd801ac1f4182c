"""Postgres is started afresh or restored from an older backup, and Redis stays: both are brought into step, which is
logged.

What only Redis has is applied; what Redis remembers of a lost history is ignored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from domain.model import Command
from ops.verify import verify
from runtime import migrations
from runtime.branches import begin_branch
from runtime.envelope import encode
from runtime.mailboxes.post import Claim, Claimed
from tests.integration.restoring import branches, brought_into_step
from tests.integration.shopfloor import ANN, STAFF, Shopfloor
from tests.servers import Databases

FINGERPRINT = b"the same request"


async def post_once(floor: Shopfloor, command: Command, key: str) -> UUID | None:
    """Posts as a gateway does; returns the id of the first command with that key, if it was not this one."""
    envelope = floor.envelope(command, key=key, fingerprint=FINGERPRINT)
    claim = Claim(ANN.principal, key, Claimed(FINGERPRINT, envelope.command_id, "").encode())

    async def is_applied(command_id: UUID) -> bool:
        found: bool = await floor.pool.fetchval("SELECT EXISTS (SELECT FROM commands WHERE id = $1)", command_id)
        return found

    first = await floor.poster.post_once(floor.mailbox_of(command), encode(envelope), claim, is_applied)
    return None if first is None else first.command_id


@pytest.fixture
async def anew(databases: Databases) -> AsyncIterator[str]:
    """The URL of a fresh database, whose log is another one."""
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url)
        yield url


@asynccontextmanager
async def put_back(databases: Databases, database_url: str, redis_url: str) -> AsyncIterator[Shopfloor]:
    """A shop that sold three of a hundred mugs, was backed up, sold four more, and was restored: the fifth order waits
    in a mailbox."""
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.fill(MUG=100)
        for number in range(3):
            assert await post_once(floor, floor.place(number, MUG=1), f"before-{number}") is None
        await floor.drain()
    numbers = floor.numbers
    with databases.copy(database_url) as backup:
        async with Shopfloor(database_url, redis_url, numbers=numbers) as floor:
            for number in range(4):
                assert await post_once(floor, floor.place(number, MUG=1), f"lost-{number}") is None
            await floor.drain()
            assert await post_once(floor, floor.place(0, MUG=1), "waiting") is None
        async with Shopfloor(backup, redis_url, numbers=numbers) as restored:
            yield restored


async def test_a_fresh_log_applies_waiting_commands_only(
    floor: Shopfloor, anew: str, caplog: pytest.LogCaptureFixture
) -> None:
    await floor.fill(MUG=100)
    await floor.post_all(floor.place(number, MUG=1) for number in range(4))
    await floor.drain()
    waiting = await floor.post(floor.listing("LAMP", 7), actor=STAFF)
    async with Shopfloor(anew, floor.redis_url) as shop:
        before = (await branches(anew)).identity
        await shop.drain()
        assert await shop.settled() == {}, "nothing is applied before both sides are in step"
        caplog.set_level(logging.ERROR)
        mended = await brought_into_step(shop)
        assert (mended.mended, mended.waiting) == ([0, 1, 2, 3], 1)
        assert "not in the log (was Postgres restored, or started afresh?)" in caplog.text
        await shop.drain()
        assert await shop.statuses([waiting]) == ["applied"]
        assert await shop.stock("LAMP") == (7, 0)
        assert (await branches(anew)).identity != before, "clients that knew the old log are told that this is another"
        assert (await brought_into_step(shop)).mended == []
        counts = await shop.verified()
        assert (counts["commands"], counts["mailboxes_rejoined"]) == (1, 4)


async def test_a_restored_log_continues_under_another_identity(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    async with put_back(databases, database_url, redis_url) as restored:
        (first,) = await branches(restored.database_url)
        report = await verify(restored.database_url, redis_url, mailbox_count=4)
        assert "Redis has seen commands applied that Postgres does not know of" in {
            difference["problem"] for difference in report.differences
        }
        last_seq = (await restored.log())[-1]
        assert (await brought_into_step(restored)).waiting == 1
        known = await branches(restored.database_url)
        assert known[0] == first
        assert known[1].after_seq == last_seq
        await restored.drain()
        assert await restored.stock("MUG") == (100, 4), "three from before the backup, and the waiting one"
        await restored.verified()


async def test_a_log_put_back_before_the_first_sweep_is_noticed_in_mailboxes_that_redis_knows_nothing_of(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.fill(MUG=100)
        numbers = floor.numbers
    with databases.copy(database_url) as backup:
        async with Shopfloor(database_url, redis_url, numbers=numbers) as floor:
            await floor.post(floor.place(0, MUG=1))
            await floor.drain(0)
        async with Shopfloor(backup, redis_url, numbers=numbers) as restored:
            (first,) = await branches(backup)
            waiting = await restored.post(restored.place(3, MUG=1))
            await restored.drain(3)
            assert await restored.statuses([waiting]) == ["not recorded"], "its seq was told of as another event"
            await brought_into_step(restored)
            await restored.drain()
            assert await restored.statuses([waiting]) == ["applied"]
            assert (await branches(backup)).identity != first.identity
            await restored.verified()


async def test_keys_of_the_lost_part_are_free_and_those_of_the_kept_part_are_not(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """Even before anything has found that the two are out of step."""
    async with put_back(databases, database_url, redis_url) as restored:
        assert await post_once(restored, restored.place(0, MUG=1), "lost-0") is None
        assert await post_once(restored, restored.place(0, MUG=1), "before-0") is not None
        assert await post_once(restored, restored.place(0, MUG=1), "waiting") is not None
        await brought_into_step(restored)
        assert await post_once(restored, restored.place(1, MUG=1), "lost-1") is None
        assert await post_once(restored, restored.place(1, MUG=1), "lost-1") is not None
        await restored.drain()
        assert await restored.stock("MUG") == (100, 6), "three, the waiting one, and two that were ordered again"
        await restored.verified()


async def test_nothing_is_applied_while_redis_knows_of_more_than_postgres(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """A batch that came first would move the position past the evidence that the log was restored."""
    async with put_back(databases, database_url, redis_url) as restored:
        before = await restored.log()
        await restored.drain()
        assert await restored.log() == before
        await brought_into_step(restored)
        await restored.drain()
        assert len(await restored.log()) == len(before) + 1
        await restored.verified()


async def test_nothing_is_applied_in_a_mailbox_untouched_since_the_backup(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """Its position agrees with what Redis knows: only the log shows that it was restored."""
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.fill(MUG=100)
        await floor.post(floor.place(1, MUG=1))
        await brought_into_step(floor)
        await floor.drain()
    with databases.copy(database_url) as backup:
        async with Shopfloor(database_url, redis_url, numbers=floor.numbers) as floor:
            await floor.post(floor.place(0, MUG=1))
            await floor.drain(0)
        async with Shopfloor(backup, redis_url, numbers=floor.numbers) as restored:
            before = await restored.log()
            report = await verify(backup, redis_url, mailbox_count=4)
            assert "Redis has seen more of the log than Postgres has, or a different log" in {
                difference["problem"] for difference in report.differences
            }
            waiting = await restored.post_all([restored.place(1, MUG=1), restored.place(2, MUG=1)])
            await restored.drain()
            assert await restored.log() == before, "nothing gets a seq that was used before"
            await brought_into_step(restored)
            _, second = await branches(backup)
            assert second.after_seq == before[-1]
            assert await restored.forgotten() == [1, 2], "no worker is awake for them: the sweep wakes them at once"
            await restored.drain()
            assert await restored.statuses(waiting) == ["applied"] * 2
            await restored.verified()


async def test_a_branch_unknown_to_redis_is_not_begun_twice(floor: Shopfloor) -> None:
    """The process that began it was killed before it could tell Redis."""
    await floor.fill(MUG=100)
    await brought_into_step(floor)
    async with floor.pool.acquire() as connection:
        await begin_branch(connection, (await branches(floor.database_url)).identity)
    await floor.post(floor.place(0, MUG=1))
    before = await floor.log()
    await floor.drain()
    assert await floor.log() == before
    for _ in range(2):
        await brought_into_step(floor)
    assert len(await branches(floor.database_url)) == 2
    await floor.drain()
    assert len(await floor.log()) == len(before) + 1
    await floor.verified()


async def test_a_worker_of_the_old_log_removes_nothing_that_the_new_one_needs(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    """It applied a batch before Postgres was restored, and trims it afterwards."""
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.fill(MUG=100)
        identity = (await branches(database_url)).identity
    with databases.copy(database_url) as backup:
        async with Shopfloor(database_url, redis_url, numbers=floor.numbers) as floor:
            await floor.post(floor.place(0, MUG=1))
            await floor.drain(0)
            posted = await floor.post(floor.place(0, MUG=1))
            (entry,) = await floor.inbox.read(0, "0-0", 10)
        async with Shopfloor(backup, redis_url) as restored:
            await brought_into_step(restored)
            assert await restored.inbox.trim({0: entry.entry_id}, identity) == [0]
            await restored.drain(0)
            assert await restored.statuses([posted]) == ["applied"]
            await restored.verified()


async def test_simultaneous_discoveries_of_a_restore_begin_one_branch(
    databases: Databases, database_url: str, redis_url: str
) -> None:
    async with put_back(databases, database_url, redis_url) as restored:
        await asyncio.gather(*(brought_into_step(restored) for _ in range(5)))
        await brought_into_step(restored)
        assert len(await branches(restored.database_url)) == 2
        await restored.drain()
        await restored.verified()


async def test_busy_mailboxes_are_left_alone(floor: Shopfloor) -> None:
    """Checking that both are in step takes no mailbox from a worker."""
    await floor.fill(MUG=10_000)
    rejoined = 0

    async def trade() -> None:
        for _ in range(10):
            await floor.post_all(floor.place(number % 4, MUG=1) for number in range(100))
            await asyncio.gather(*(floor.new_drainer().drain([mailbox]) for mailbox in range(4)))

    trading = asyncio.create_task(trade())
    while not trading.done():
        rejoined += len((await brought_into_step(floor)).mended)
        await asyncio.sleep(0)
    await trading
    assert rejoined == 0
    assert len(await branches(floor.database_url)) == 1
    await floor.verified()
