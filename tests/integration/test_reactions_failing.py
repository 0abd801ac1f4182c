"""A reaction that fails is run again on the same event, until that succeeds or becomes a dead letter."""

import asyncio

from runtime.records import EventRecord
from tests.integration.reacting import Told, ToldMany, receive, stage
from tests.integration.shopfloor import Shopfloor
from workers.failures import Away
from workers.reactions.core import GiveUp


async def test_a_failed_event_is_retried_before_any_later_one(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 3)
        troubles = [ValueError("first"), ValueError("second")]

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[1] and troubles:
                raise troubles.pop(0)

        told.before = fail
        await on_stage.run()
        row = await on_stage.row()
        assert (row["position"], row["failures"], row["last_error"]) == (seqs[0], 1, "ValueError: first")
        assert row["failing_since"] is not None
        assert row["due_at"] > row["updated_at"]
        await on_stage.run_to_the_end()
        assert (told.tried, told.handled) == ([seqs[0], *[seqs[1]] * 3, seqs[2]], seqs)
        row = await on_stage.row()
        assert (row["failures"], row["failing_since"], row["last_error"]) == (0, None, None)


async def test_it_is_not_run_before_it_is_due_again(floor: Shopfloor) -> None:
    async with stage(floor, reaction_retry_max_seconds=300.0) as (on_stage, told):
        await receive(floor, 1)
        told.before = lambda record: 1 / 0
        await on_stage.run()
        assert await on_stage.positions.due(["told"]) == []
        assert not await on_stage.run()
        assert len(told.tried) == 1
        await floor.pool.execute("UPDATE reactions SET due_at = now()")
        assert await on_stage.positions.due(["told"]) == ["told"]


async def test_an_event_that_always_fails_becomes_a_dead_letter_and_the_rest_is_handled(floor: Shopfloor) -> None:
    async with stage(floor, reaction_failures_max=3) as (on_stage, told):
        seqs = await receive(floor, 3)

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[0]:
                raise ValueError("no way")

        told.before = fail
        await on_stage.run_to_the_end()
        assert told.tried == [*[seqs[0]] * 3, *seqs[1:]]
        assert await on_stage.dead_letters() == [(seqs[0], "ValueError: no way")]


async def test_giving_up_makes_a_dead_letter_at_once(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 2)

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[0]:
                raise GiveUp("nobody lives there")

        told.before = fail
        await on_stage.run()
        assert (told.tried, told.handled) == (seqs, seqs[1:])
        assert await on_stage.dead_letters() == [(seqs[0], "GiveUp: nobody lives there")]


async def test_an_event_is_not_given_up_because_something_else_is_unavailable(floor: Shopfloor) -> None:
    async with stage(floor, reaction_failures_max=2) as (on_stage, told):
        seqs = await receive(floor, 1)
        troubles: list[Exception] = [Away("at lunch"), ConnectionRefusedError(), TimeoutError(), Away("at dinner")]

        def fail(record: EventRecord) -> None:
            if troubles:
                raise troubles.pop(0)

        told.before = fail
        await on_stage.run_to_the_end()
        assert (told.handled, await on_stage.dead_letters()) == (seqs, [])


async def test_one_that_hangs_is_cancelled_and_that_is_a_failure(floor: Shopfloor) -> None:
    class Hanging(Told):
        handle_max_seconds = 0.05

    async with stage(floor, Hanging, reaction_failures_max=2) as (on_stage, told):
        seqs = await receive(floor, 1)
        told.before = lambda record: asyncio.Event().wait()
        await on_stage.run_to_the_end()
        assert await on_stage.dead_letters() == [(seqs[0], "TookTooLong: not done within 0.05 s")]


async def test_many_at_a_time_and_one_by_one_when_one_of_them_fails(floor: Shopfloor) -> None:
    async with stage(floor, ToldMany, reaction_failures_max=2) as (on_stage, told):
        assert isinstance(told, ToldMany)
        seqs = await receive(floor, 150)

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[120]:
                raise ValueError("this one")

        told.before = fail
        await on_stage.run_to_the_end()
        assert told.groups[0] == 100
        assert told.handled == [seq for seq in seqs if seq != seqs[120]]
        assert await on_stage.dead_letters() == [(seqs[120], "ValueError: this one")]
