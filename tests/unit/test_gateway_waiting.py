"""Requests that wait for outcomes: each gets its own, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest

from gateway.writing import waiting
from gateway.writing.waiting import Waiters
from runtime.engine import create_engine
from runtime.records import APPLIED, Outcome, encode

MINE, OTHER = UUID(int=1), UUID(int=2)
SOON = 0.01


def outcome(command_id: UUID) -> Outcome:
    return Outcome(command_id, APPLIED, 7, "stock.received", 0, msgspec.Raw(b"{}"))


@pytest.fixture
async def waiters() -> AsyncIterator[Waiters]:
    """Room for two waiters; Postgres is unavailable."""
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    yield Waiters(engine, max_requests=2)
    await engine.dispose()


async def test_an_outcome_goes_to_its_waiter(waiters: Waiters) -> None:
    expected = {each: waiters.expect(each) for each in (MINE, OTHER)}
    tasks = {each: asyncio.create_task(waiters.wait(each, expected[each], 10)) for each in (MINE, OTHER)}
    waiters.deliver(encode([outcome(OTHER), outcome(MINE)]))
    assert {each: await task for each, task in tasks.items()} == {each: outcome(each) for each in (MINE, OTHER)}


async def test_an_outcome_may_arrive_before_the_wait_begins(waiters: Waiters) -> None:
    mine = waiters.expect(MINE)
    waiters.deliver(encode([outcome(MINE)]))
    assert await waiters.wait(MINE, mine, 10) == outcome(MINE)


async def test_a_repeated_or_unexpected_outcome_does_no_harm(waiters: Waiters) -> None:
    mine = waiters.expect(MINE)
    waiters.deliver(encode([outcome(MINE), outcome(MINE), outcome(OTHER)]))
    assert await waiters.wait(MINE, mine, 10) == outcome(MINE)
    waiters.deliver(encode([outcome(MINE)]))


async def test_a_wait_in_vain_ends_without_an_outcome_even_without_postgres(waiters: Waiters) -> None:
    mine = waiters.expect(MINE)
    assert await waiters.wait(MINE, mine, SOON) is None
    assert await waiters.watch(MINE, SOON) is None


async def test_the_number_of_waiters_is_bounded_and_they_make_room_when_they_end(waiters: Waiters) -> None:
    assert waiters.has_room
    mine = waiters.expect(MINE)
    assert waiters.has_room
    waiters.expect(OTHER)
    assert not waiters.has_room
    assert await waiters.wait(MINE, mine, SOON) is None
    assert waiters.has_room
    waiters.forget(MINE, waiters.expect(MINE))
    assert waiters.has_room


async def test_a_cancelled_request_makes_room(waiters: Waiters) -> None:
    mine, _ = (waiters.expect(command_id) for command_id in (MINE, OTHER))
    waiting = asyncio.create_task(waiters.wait(MINE, mine, 10))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiters.has_room


async def test_repetitions_of_a_request_wait_independently(waiters: Waiters) -> None:
    """One that is cancelled, or whose time is up, does not end another's wait."""
    given_up, stays = waiters.expect(MINE), waiters.expect(MINE)
    leaving = asyncio.create_task(waiters.wait(MINE, given_up, 10))
    staying = asyncio.create_task(waiters.wait(MINE, stays, 10))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await waiters.wait(MINE, waiters.expect(MINE), SOON) is None
    waiters.deliver(encode([outcome(MINE)]))
    assert await staying == outcome(MINE)


async def test_an_interrupted_feed_is_survived_without_postgres(waiters: Waiters) -> None:
    mine = waiters.expect(MINE)
    waiting = asyncio.create_task(waiters.wait(MINE, mine, 10))
    waiters.look_again()
    await asyncio.sleep(SOON)
    waiters.deliver(encode([outcome(MINE)]))
    assert await waiting == outcome(MINE)


async def test_when_the_process_ends_nobody_waits_for_long(waiters: Waiters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LAST_SECONDS", SOON)
    mine = waiters.expect(MINE)
    waits = asyncio.create_task(waiters.wait(MINE, mine, 3_600))
    await asyncio.sleep(0)
    waiters.stop()
    assert await waits is None
    assert await waiters.wait(OTHER, waiters.expect(OTHER), 3_600) is None, "nor does who comes now"


async def test_at_shutdown_waiting_requests_have_a_moment_more(waiters: Waiters) -> None:
    mine = waiters.expect(MINE)
    waits = asyncio.create_task(waiters.wait(MINE, mine, 3_600))
    await asyncio.sleep(0)
    waiters.stop()
    waiters.deliver(encode([outcome(MINE)]))
    assert await waits == outcome(MINE)
