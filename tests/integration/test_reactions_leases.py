"""A reaction is run by one process at a time, and a run that lost its lease changes nothing more."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain.versions import UnknownVersion
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


@pytest.mark.parametrize(("save_seconds", "saved"), [(0.0, 2), (60.0, 0)])
async def test_a_killed_run_repeats_only_what_it_has_done_since_it_last_saved(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch, save_seconds: float, saved: int
) -> None:
    monkeypatch.setattr("workers.reactions.run.SAVE_SECONDS", save_seconds)
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 3)
        entered = asyncio.Event()

        async def hang() -> None:
            entered.set()
            await asyncio.Event().wait()

        told.before = lambda record: hang() if record.seq == seqs[2] else None
        killed = asyncio.create_task(on_stage.run())
        await entered.wait()
        # A killed process gives nothing back: here its token is not valid any more when it tries.
        await floor.pool.execute("UPDATE reactions SET lease_token = NULL, lease_until = NULL")
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        told.before = lambda record: None
        await on_stage.run_to_the_end()
        assert told.handled == [*seqs[:2], *seqs[saved:]]


async def test_what_was_handled_is_not_handled_again_because_what_follows_cannot_be_read(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reactions.run.SAVE_SECONDS", 60.0)
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 3)
        await floor.pool.execute("UPDATE events SET version = 99 WHERE seq = $1", seqs[2])
        with pytest.raises(UnknownVersion):
            await on_stage.run()
        assert (told.handled, await on_stage.position()) == (seqs[:2], seqs[1])
