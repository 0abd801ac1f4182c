"""A reaction is run by one process at a time, and a run that lost its lease changes nothing more."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests import pace
from tests.integration.reacting import LEASE_SECONDS, receive, stage
from tests.integration.shopfloor import Shopfloor
from tests.system import eventually_seen
from workers.leases import LeaseLost
from workers.reactions.core import Failure


async def test_it_has_only_one_run_at_a_time(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 3)
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            entered.set()
            await go_on.wait()

        told.before = lambda record: wait()
        first = asyncio.create_task(on_stage.run())
        await entered.wait()
        taken_until = (await on_stage.row())["lease_until"]

        async def is_renewed() -> bool:
            until: datetime | None = (await on_stage.row())["lease_until"]
            return until is not None and until > taken_until + timedelta(seconds=LEASE_SECONDS)

        # For longer than a lease lasts.
        await eventually_seen("a lease renewed", is_renewed, within_seconds=10)
        assert not await on_stage.run()
        assert told.tried == seqs[:1]
        go_on.set()
        await first
        assert told.handled == seqs


async def test_an_interrupted_run_is_repeated_from_its_position(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 2)
        entered = asyncio.Event()

        async def hang() -> None:
            entered.set()
            await asyncio.Event().wait()

        told.before = lambda record: hang() if record.seq == seqs[1] else None
        first = asyncio.create_task(on_stage.run())
        await entered.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        # It gave the lease back.
        told.before = lambda record: None
        await on_stage.run()
        assert (told.tried, told.handled) == ([seqs[0], seqs[1], seqs[1]], seqs)


async def test_a_lease_that_is_not_renewed_soon_passes_to_another(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 1)
        assert await on_stage.positions.take("told") is not None  # by a process that is killed now
        assert not await on_stage.run()
        await on_stage.run_to_the_end()
        assert told.handled == seqs


async def test_an_overtaken_run_can_no_longer_write(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, _):
        await receive(floor, 2)
        slow = await on_stage.positions.take("told")
        assert slow is not None
        await floor.pool.execute("UPDATE reactions SET lease_until = now() - interval '1 second'")
        quick = await on_stage.positions.take("told")
        assert quick is not None
        quick = await on_stage.positions.move(quick, 4)
        for step in (
            on_stage.leases.renew(slow.name, slow.token),
            on_stage.positions.move(slow, 5),
            on_stage.positions.dead_letter(slow, 5, "x"),
            on_stage.positions.note_failure(slow, Failure(ValueError("x"), 1, 1, datetime.now(UTC)), "x", 1.0),
        ):
            with pytest.raises(LeaseLost):
                await step
        assert not await on_stage.positions.leave(slow, None)
        row = await on_stage.row()
        assert (row["position"], row["lease_token"], row["failures"]) == (4, quick.token, 0)
        assert await on_stage.dead_letters() == []


async def test_a_run_that_loses_its_lease_is_stopped(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        await receive(floor, 2)
        entered = asyncio.Event()

        async def hang() -> None:
            entered.set()
            await asyncio.Event().wait()

        told.before = lambda record: hang()
        run = asyncio.create_task(on_stage.run())
        await entered.wait()
        before = await on_stage.position()
        await floor.pool.execute("UPDATE reactions SET lease_token = gen_random_uuid()")
        assert not await asyncio.wait_for(run, pace.seconds(LEASE_SECONDS * 3))
        assert (told.handled, await on_stage.position()) == ([], before)
