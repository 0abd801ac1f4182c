"""Partitions are made ahead of time, by one process at a time; nothing that is written ever fails for lack of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import pytest
from prometheus_client import REGISTRY

from runtime.database import asyncpg_dsn, create_batch_pool
from runtime.partitions import EVENTS, Parted, Partition, making, partitions
from runtime.settings import Settings
from tests.integration.archiving import COMMANDS_LATER_DAYS, EACH, in_small_partitions
from tests.integration.shopfloor import Shopfloor
from workers import partitioning
from workers.overdue import end_overdue
from workers.partitioning import AHEAD, Partitioner, create_partition_pool

_IN_DEFAULT: Final = "SELECT count(*) FROM events_default"


async def _names(floor: Shopfloor) -> list[str]:
    async with floor.pool.acquire() as connection:
        return [each.name for each in await partitions(connection, EVENTS)]


async def _last_seq(floor: Shopfloor) -> int:
    seq: int = await floor.pool.fetchval("SELECT last_seq FROM event_counter")
    return seq


def _ahead() -> float | None:
    return REGISTRY.get_sample_value("tidegate_log_partitions_ahead", {"table": "events"})


async def test_a_new_shop_has_room_from_the_first_event_on(floor: Shopfloor) -> None:
    assert await _names(floor) == ["events_first"]
    await floor.fill(MUG=1)
    assert await floor.pool.fetchval(_IN_DEFAULT) == 0


async def test_partitions_are_made_ahead_of_the_log(floor: Shopfloor) -> None:
    partitioner = await in_small_partitions(floor)
    assert await _names(floor) == ["events_1", "events_8"]
    await floor.fill(MUG=100)  # three events: a product, a variant, a receipt
    assert await partitioner.make() == ["events_15"]
    assert await partitioner.make() == []
    for _ in range(EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    assert await partitioner.make() == ["events_22"]
    assert _ahead() == AHEAD
    assert await floor.pool.fetchval(_IN_DEFAULT) == 0
    assert (await floor.verified())["events"] == 3 + EACH


async def test_nothing_fails_without_one_and_what_was_written_moves(floor: Shopfloor) -> None:
    partitioner = await in_small_partitions(floor)
    await floor.fill(MUG=100)
    for _ in range(5 * EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    before = await floor.log()
    assert await floor.pool.fetchval(_IN_DEFAULT) > 0
    made = await partitioner.make()
    assert len(made) >= AHEAD
    assert await floor.pool.fetchval(_IN_DEFAULT) == 0
    assert await floor.log() == before
    last_seq = await _last_seq(floor)
    assert [each.start for each in await _all(floor)] == list(range(1, last_seq + AHEAD * EACH + 1, EACH))
    assert await floor.pool.fetchval("SELECT count(*) FROM suspects") == 0
    await floor.verified()


async def test_making_one_may_take_longer_than_a_batch(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves out of the default partition may be much. Workers find it neither overdue nor written by hand."""
    await in_small_partitions(floor)
    await floor.fill(MUG=100)
    for _ in range(3 * EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    assert await floor.pool.fetchval(_IN_DEFAULT) > 0
    slow = ["SELECT pg_sleep(3)"]

    def slowly(parted: Parted, start: int, end: int) -> Sequence[str]:
        return [*(slow.pop() for _ in slow[:]), *making(parted, start, end)]

    monkeypatch.setattr(partitioning, "making", slowly)
    workers = await create_batch_pool(floor.database_url, size=1, batch_max_seconds=1.0)
    pool = await create_partition_pool(floor.database_url)
    sizes = {"log_partition_max_events": EACH, "command_partition_days": COMMANDS_LATER_DAYS}
    made = asyncio.create_task(Partitioner(Settings().model_copy(update=sizes), pool).make())
    try:
        while not made.done():
            await end_overdue(workers, 1.0)
            await asyncio.sleep(0.05)
        assert len(await made) >= AHEAD
    finally:
        made.cancel()
        workers.terminate()
        pool.terminate()
    assert await floor.pool.fetchval(_IN_DEFAULT) == 0
    assert await floor.pool.fetchval("SELECT count(*) FROM suspects") == 0
    await floor.verified()


async def _all(floor: Shopfloor) -> list[Partition]:
    async with floor.pool.acquire() as connection:
        return await partitions(connection, EVENTS)


async def test_processes_take_turns(floor: Shopfloor) -> None:
    partitioner = await in_small_partitions(floor)
    await floor.fill(MUG=100)
    for _ in range(3 * EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    made = await asyncio.gather(*(partitioner.make() for _ in range(4)))
    await partitioner.make()
    names = await _names(floor)
    assert len(names) == len(set(names))
    assert {each.name for each in await _all(floor)} >= {name for some in made for name in some}


async def test_making_partitions_waits_for_readers_of_the_log_without_blocking_batches(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "_LOCK_TIMEOUT", "50ms")
    partitioner = await in_small_partitions(floor)
    await floor.fill(MUG=100)
    for _ in range(2 * EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    names = await _names(floor)
    reader = await asyncpg.connect(asyncpg_dsn(floor.database_url))
    async with reader.transaction():
        await reader.execute("SELECT FROM events")
        await partitioner.tend()
        assert await _names(floor) == names
        await floor.post(floor.place(0, MUG=1))
        await floor.drain()
    await reader.close()
    assert await partitioner.make() != []


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM events_1 WHERE seq = 2", "UPDATE events_1 SET actor = 'eve' WHERE seq = 2", "TRUNCATE events_1"],
)
async def test_what_is_done_to_a_partition_by_hand_is_noted_as_done_to_the_log(
    floor: Shopfloor, statement: str
) -> None:
    await in_small_partitions(floor)
    await floor.fill(MUG=100)
    hand = await asyncpg.connect(asyncpg_dsn(floor.database_url))
    await hand.execute(statement)
    noted = await hand.fetch("SELECT table_name, key FROM suspects")
    await hand.close()
    assert ("events", "2") in {tuple(row) for row in noted}


async def test_what_should_have_been_archived_is_told(floor: Shopfloor) -> None:
    partitioner = await in_small_partitions(floor)
    await floor.fill(MUG=100)
    for _ in range(EACH):
        await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    await floor.pool.execute("UPDATE events SET occurred_at = occurred_at - interval '40 days' WHERE seq < $1", EACH)
    days = {"log_archive_after_days": 30.0, "log_partition_max_events": EACH}
    tending = Partitioner(Settings().model_copy(update=days), floor.pool)
    await tending.make()
    assert _archive_lag() == 0  # the partition's last event is young
    await floor.pool.execute("UPDATE events SET occurred_at = occurred_at - interval '40 days' WHERE seq = $1", EACH)
    await tending.make()
    assert _archive_lag() == pytest.approx(10 * 86_400, rel=0.01)
    await partitioner.make()  # archives never
    assert _archive_lag() == 0


def _archive_lag() -> float | None:
    return REGISTRY.get_sample_value("tidegate_log_archive_lag_seconds")
