"""One subscriber's queue: everything in order until it is full, and then nothing more."""

import asyncio
from uuid import UUID

import msgspec

from gateway.tail import Follower
from runtime.records import EventRecord


def records(first: int, last: int) -> list[EventRecord]:
    return [
        EventRecord(seq, "stock.received", "A", UUID(int=0), "ada", 0, msgspec.Raw(b"{}"))
        for seq in range(first, last + 1)
    ]


async def test_what_is_pushed_is_taken_in_order() -> None:
    follower = Follower(0, queue_max_events=10)
    follower.push(records(1, 2))
    follower.push(records(3, 3))
    assert [record.seq for record in await follower.take()] == [1, 2, 3]


async def test_who_takes_waits_until_there_is_something() -> None:
    follower = Follower(0, queue_max_events=10)
    taking = asyncio.create_task(follower.take())
    await asyncio.sleep(0)
    assert not taking.done()
    follower.push(records(1, 1))
    assert [record.seq for record in await taking] == [1]


async def test_a_full_queue_keeps_what_it_has_and_ends() -> None:
    follower = Follower(0, queue_max_events=3)
    follower.push(records(1, 2))
    follower.push(records(3, 4))
    assert [record.seq for record in await follower.take()] == [1, 2]
    assert await follower.take() == []


async def test_nothing_is_taken_from_behind_a_gap() -> None:
    """What fits again after something was dropped would make the reader miss that without a sign."""
    follower = Follower(0, queue_max_events=3)
    follower.push(records(1, 4))
    follower.push(records(5, 6))
    assert await follower.take() == []

    follower = Follower(0, queue_max_events=3)
    follower.push(records(1, 2))
    follower.push(records(3, 9))
    assert [record.seq for record in await follower.take()] == [1, 2]
    follower.push(records(10, 10))
    assert await follower.take() == []
