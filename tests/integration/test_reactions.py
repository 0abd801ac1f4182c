"""A reaction sees each event that interests it, in order, by one run at a time, and skips none, whatever goes wrong."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from domain.stock import ReceiveStock
from runtime.records import EventRecord
from tests import pace
from tests.integration.reacting import LEASE_SECONDS, Stage, Told, ToldMany, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers.failures import Away
from workers.leases import LeaseLost
from workers.reactions.core import Failure, GiveUp
from workers.rows import Rows


@asynccontextmanager
async def stage(floor: Shopfloor, kind: type[Told] = Told, **changes: object) -> AsyncIterator[tuple[Stage, Told]]:
    """The reaction, at the beginning of the log of a shop that has one product."""
    async with tools(floor, **changes) as given:
        reaction = kind(given.config)
        on_stage = Stage(floor, reaction)
        await on_stage.begin()
        await floor.fill(TEA=0)
        yield on_stage, reaction


async def receive(floor: Shopfloor, count: int) -> list[int]:
    """So many receipts; the seqs of their events."""
    before = await floor.pool.fetchval("SELECT last_seq FROM event_counter")
    await floor.post_all((ReceiveStock("TEA", 1) for _ in range(count)), actor=STAFF)
    await floor.drain()
    return list(range(before + 1, before + 1 + count))


async def test_it_is_given_what_interests_it_in_order_and_passes_over_the_rest(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 300)
        assert not await on_stage.run()
        assert told.handled == seqs
        await floor.fill(SALT=0)  # nothing it wants
        await on_stage.run()
        assert (told.handled, await on_stage.position()) == (seqs, await on_stage.end())
        assert (await on_stage.row())["lease_token"] is None


async def test_one_that_begins_at_the_end_is_not_told_of_what_was_before(floor: Shopfloor) -> None:
    class Latecomer(Told):
        begins_at_end = True

    async with tools(floor) as given:
        await floor.fill(TEA=5)
        reaction = Latecomer(given.config)
        on_stage = Stage(floor, reaction)
        await on_stage.begin()
        seqs = await receive(floor, 2)
        await on_stage.begin()  # whom it is known to, it does not begin anew
        await on_stage.run()
        assert reaction.handled == seqs


async def test_only_one_run_at_a_time_has_it(floor: Shopfloor) -> None:
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


async def test_what_fails_is_tried_again_before_anything_behind_it(floor: Shopfloor) -> None:
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


async def test_before_it_is_due_again_nobody_gets_it(floor: Shopfloor) -> None:
    async with stage(floor, reaction_retry_max_seconds=300.0) as (on_stage, told):
        await receive(floor, 1)
        told.before = lambda record: 1 / 0
        await on_stage.run()
        assert await on_stage.positions.due(["told"]) == []
        assert not await on_stage.run()
        assert len(told.tried) == 1
        await floor.pool.execute("UPDATE reactions SET due_at = now()")
        assert await on_stage.positions.due(["told"]) == ["told"]


async def test_an_event_that_never_works_becomes_a_dead_letter_and_the_rest_goes_on(floor: Shopfloor) -> None:
    async with stage(floor, reaction_failures_max=3) as (on_stage, told):
        seqs = await receive(floor, 3)

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[0]:
                raise ValueError("no way")

        told.before = fail
        await on_stage.run_to_the_end()
        assert told.tried == [*[seqs[0]] * 3, *seqs[1:]]
        assert await on_stage.dead_letters() == [(seqs[0], "ValueError: no way")]


async def test_who_gives_up_is_believed_at_once(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 2)

        def fail(record: EventRecord) -> None:
            if record.seq == seqs[0]:
                raise GiveUp("nobody lives there")

        told.before = fail
        await on_stage.run()
        assert (told.tried, told.handled) == (seqs, seqs[1:])
        assert await on_stage.dead_letters() == [(seqs[0], "GiveUp: nobody lives there")]


async def test_an_event_is_not_given_up_because_something_else_is_away(floor: Shopfloor) -> None:
    async with stage(floor, reaction_failures_max=2) as (on_stage, told):
        seqs = await receive(floor, 1)
        troubles: list[Exception] = [Away("at lunch"), ConnectionRefusedError(), TimeoutError(), Away("at dinner")]

        def fail(record: EventRecord) -> None:
            if troubles:
                raise troubles.pop(0)

        told.before = fail
        await on_stage.run_to_the_end()
        assert (told.handled, await on_stage.dead_letters()) == (seqs, [])


async def test_one_that_hangs_is_ended_and_that_is_a_failure(floor: Shopfloor) -> None:
    class Hanging(Told):
        handle_max_seconds = 0.05

    async with stage(floor, Hanging, reaction_failures_max=2) as (on_stage, told):
        seqs = await receive(floor, 1)
        told.before = lambda record: asyncio.Event().wait()
        await on_stage.run_to_the_end()
        assert await on_stage.dead_letters() == [(seqs[0], "TookTooLong: not done within 0.05 s")]


@pytest.mark.parametrize("kind", [Told, ToldMany])
async def test_a_run_whose_time_is_up_lets_others_come_first_even_in_the_middle_of_a_page(
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


async def test_one_that_is_far_behind_is_told_so_without_looking_through_it_all(
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


async def test_a_run_that_is_cut_off_is_done_again_from_its_position(floor: Shopfloor) -> None:
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


async def test_a_lease_that_nobody_renews_is_somebody_elses_soon(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, told):
        seqs = await receive(floor, 1)
        assert await on_stage.positions.take("told") is not None  # by a process that is killed now
        assert not await on_stage.run()
        await on_stage.run_to_the_end()
        assert told.handled == seqs


async def test_a_run_that_was_overtaken_changes_nothing_more(floor: Shopfloor) -> None:
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


async def test_one_that_loses_its_lease_while_at_work_is_stopped(floor: Shopfloor) -> None:
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


async def test_a_command_sends_it_back_while_it_is_at_work(floor: Shopfloor) -> None:
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
        # Nobody is asked to look before that.
        assert await on_stage.positions.due(["told"]) == []


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


async def test_what_comes_in_while_it_leaves_is_not_left_lying(floor: Shopfloor) -> None:
    async with stage(floor) as (on_stage, _):
        await on_stage.run()
        held = await on_stage.positions.take("told")
        assert held is not None
        await receive(floor, 1)
        assert await on_stage.positions.leave(held, frozenset({"stock.received"}))
        held = await on_stage.positions.take("told")
        assert held is not None
        assert not await on_stage.positions.leave(held, frozenset({"order.placed"}))


async def test_one_that_is_gone_is_not_active_and_goes_on_where_it_was(floor: Shopfloor) -> None:
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
