"""A reaction sees each event that it is interested in, in order, and skips none, whatever goes wrong."""

import asyncio
import time
from datetime import timedelta

import pytest

from runtime.records import EventRecord
from tests.integration.reacting import Stage, Told, ToldMany, receive, stage, tools
from tests.integration.shopfloor import Shopfloor
from workers.rows import Rows


async def test_it_is_given_the_events_of_its_interests_in_order_and_passes_over_the_rest(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 300)
        assert not await on_stage.run()
        assert told.handled == seqs
        await floor.fill(SALT=0)  # nothing of interest
        await on_stage.run()
        assert (told.handled, await on_stage.position()) == (seqs, await on_stage.end())
        assert (await on_stage.row())["lease_token"] is None


async def test_one_that_begins_at_the_end_sees_no_earlier_events(floor: Shopfloor) -> None:
    class Latecomer(Told):
        begins_at_end = True

    async with tools(floor) as given:
        await floor.fill(TEA=5)
        reaction = Latecomer(given.config)
        on_stage = Stage(floor, reaction)
        await on_stage.begin()
        seqs = await receive(floor, 2)
        await on_stage.begin()  # it already exists, so it does not begin again
        await on_stage.run()
        assert reaction.handled == seqs


@pytest.mark.parametrize("kind", [Told, ToldMany])
async def test_a_run_whose_time_is_up_makes_way_for_others_even_in_the_middle_of_a_page(
    floor: Shopfloor, kind: type[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(floor, kind) as (on_stage, told):
        seqs = await receive(floor, 150)
        monkeypatch.setattr("workers.reactions.run.RUN_MAX_SECONDS", 0.1)

        began: list[float] = []

        def use_up_the_time(record: EventRecord) -> None:
            began.append(time.monotonic())
            while time.monotonic() < began[0] + 0.1:
                pass

        told.before = use_up_the_time
        assert await on_stage.run(), "there is more to do"
        assert told.handled == seqs[: kind.handle_max_events]
        row = await on_stage.row()
        assert (row["position"], row["lease_token"]) == (told.handled[-1], None)
        await on_stage.run_to_the_end()
        assert told.handled == seqs


async def test_one_that_is_far_behind_stays_without_reading_everything(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reactions.positions.STRETCH_MAX_EVENTS", 5)
    async with stage(floor) as (on_stage, _):
        await receive(floor, 10)
        held = await on_stage.positions.take("told")
        assert held is not None
        assert await on_stage.positions.leave(held, {"of no such type"})
        held = await on_stage.positions.take("told")
        assert held is not None
        held = await on_stage.positions.move(held, await on_stage.end() - 5)
        assert not await on_stage.positions.leave(held, {"of no such type"})


async def test_a_command_sends_it_back_while_it_is_running(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 3)
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            entered.set()
            await go_on.wait()

        told.before = lambda record: wait() if record.seq == seqs[2] else None
        run = asyncio.create_task(on_stage.run())
        await entered.wait()
        rows = Rows()
        rows.move_reaction("told", seqs[0])
        rows.move_reaction("new", None)
        rows.move_reaction("beyond", 1_000_000)
        async with floor.pool.acquire() as connection, connection.transaction():
            await rows.write(connection)
        go_on.set()
        await run
        await on_stage.run_to_the_end()
        assert told.handled == [*seqs, *seqs[1:]]
        positions = await floor.pool.fetch("SELECT name, position FROM reactions WHERE name IN ('new', 'beyond')")
        assert {row["position"] for row in positions} == {await on_stage.end()}


async def test_an_event_is_not_handled_before_it_is_old_enough(floor: Shopfloor) -> None:
    class Patient(Told):
        delay_seconds = 60.0

    async with stage(floor, Patient) as (on_stage, told):
        seqs = await receive(floor, 3)
        await floor.pool.execute(
            "UPDATE events SET occurred_at = now() - interval '61 seconds' WHERE seq <= $1", seqs[1]
        )
        assert not await on_stage.run()
        assert told.handled == seqs[:2]
        row = await on_stage.row()
        occurred_at = await floor.pool.fetchval("SELECT occurred_at FROM events WHERE seq = $1", seqs[2])
        assert (row["position"], row["due_at"]) == (seqs[1], occurred_at + timedelta(seconds=60))
        # It is not due before that.
        assert await on_stage.positions.due(["told"]) == []


async def test_an_event_that_arrives_while_it_leaves_is_not_missed(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, _):
        await on_stage.run()
        held = await on_stage.positions.take("told")
        assert held is not None
        await receive(floor, 1)
        assert await on_stage.positions.leave(held, frozenset({"stock.received"}))
        held = await on_stage.positions.take("told")
        assert held is not None
        assert not await on_stage.positions.leave(held, frozenset({"order.placed"}))


async def test_a_removed_reaction_is_inactive_and_later_continues_where_it_was(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 1)
        await on_stage.run()
        await on_stage.positions.know([])
        assert not (await on_stage.row())["active"]
        seqs += await receive(floor, 1)
        await on_stage.begin()
        assert (await on_stage.row())["active"]
        await on_stage.run()
        assert told.handled == seqs
