"""Batches over many mailboxes: one transaction for all that waits, in order in each, and nobody waits for the busy."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from taskiq import TaskiqState

from domain.model import Command
from domain.orders import CancelOrder
from domain.stock import ReceiveStock
from runtime.activation import ACTORS, ActivationBroker
from runtime.branches import begin_branch
from runtime.database import create_batch_pool
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.redis_keys import LEADER_KEY, awake_key
from runtime.settings import Settings
from tests.integration.gates import gate_before
from tests.integration.shopfloor import STAFF, Shopfloor, retries
from tests.system import eventually_seen
from workers import batch
from workers.app import Worker
from workers.apply import Applier
from workers.drain import Drainer

_WITHIN_SECONDS = 20.0


async def _transactions(floor: Shopfloor, commands: list[UUID]) -> int:
    """In how many transactions the commands were applied."""
    count: int = await floor.pool.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM commands WHERE id = ANY($1::uuid[])", commands
    )
    return count


async def _in_order_in_each(floor: Shopfloor, commands: list[UUID]) -> None:
    """Every mailbox's commands follow one another in the log as they were posted."""
    settled = await floor.settled()
    mailboxes = dict(await floor.pool.fetch("SELECT id, mailbox FROM commands WHERE id = ANY($1::uuid[])", commands))
    for mailbox in set(mailboxes.values()):
        posted = [command for command in commands if mailboxes[command] == mailbox]
        seqs = [settled[command].seq for command in posted]
        assert seqs == sorted(seqs)


async def test_what_waits_in_all_mailboxes_is_one_transaction(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 20
    assert await _transactions(floor, posted) == 1
    await _in_order_in_each(floor, posted)
    assert [await floor.waiting(mailbox) for mailbox in range(4)] == [0] * 4
    await floor.verified()


async def test_across_mailboxes_who_came_first_is_served_first(floor: Shopfloor) -> None:
    await floor.fill(MUG=2)
    posted = []
    for mailbox in (3, 0, 2, 1):
        posted.append(await floor.post(floor.place(mailbox, MUG=1)))
        await asyncio.sleep(0.002)  # Redis orders entries of different mailboxes by milliseconds
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 2 + ["rejected: insufficient_stock"] * 2
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_mailbox_that_somebody_is_at_work_on_is_left_out(floor: Shopfloor) -> None:
    """Two workers with crossing sets: neither waits for the other, and what one has is not taken by the other."""
    await floor.fill(MUG=100)
    held = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (0, 1))
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        first = asyncio.create_task(floor.new_drainer().drain([0, 1]))
        await gate.wait_for(1)
        free = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (0, 1, 2, 3))
        second = asyncio.create_task(floor.new_drainer().drain([1, 2, 3]))

        async def got() -> bool:
            return (await floor.statuses(free))[2:] == ["applied"] * 2

        await eventually_seen("the free mailboxes applied", got, within_seconds=_WITHIN_SECONDS)
        assert (await floor.statuses([*held, *free]))[:4] == ["not recorded"] * 4
        await gate.open()
        await asyncio.gather(first, second)
    await floor.drain()
    assert await floor.statuses([*held, *free]) == ["applied"] * 6
    await _in_order_in_each(floor, [*held, *free])
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_who_comes_in_between_the_halves_of_a_bisected_batch_breaks_no_order(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two halves the positions are free. While the first half runs, somebody else holds mailbox 1: its letters
    are left out, and so must be those of the second half, though by then the mailbox is as it was."""
    await floor.fill(MUG=100)
    orders = [floor.place(mailbox, MUG=1) for mailbox in (0, 1)]
    commands: list[Command] = [*orders, *(CancelOrder(order.order_id) for order in orders)]
    posted = [await floor.post(command) for command in commands]
    holder = await floor.pool.acquire()
    holding = holder.transaction()
    apply, calls = batch.apply, 0

    async def refused_once(*arguments: Any, **options: Any) -> batch.Result:
        nonlocal calls
        calls += 1
        if calls == 1:  # the whole batch: bisected
            raise asyncpg.DataError("a value that no column takes")
        if calls == 2:  # the first half has been applied; whoever held mailbox 1 lets go of it
            result = await apply(*arguments, **options)
            await holding.rollback()
            return result
        return await apply(*arguments, **options)

    hold: Callable[..., Awaitable[Any]] = asyncpg.Connection.fetch
    looked = 0

    async def fetch(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
        nonlocal looked
        if "FOR UPDATE SKIP LOCKED" in query:
            looked += 1
            if looked == 2:  # before the first half
                await holding.start()
                await holder.execute("SELECT FROM mailboxes WHERE mailbox = 1 FOR UPDATE")
        return await hold(self, query, *arguments, **options)

    monkeypatch.setattr(batch, "apply", refused_once)
    monkeypatch.setattr(asyncpg.Connection, "fetch", fetch)
    try:
        await floor.drain()
    finally:
        await floor.pool.release(holder)
    monkeypatch.undo()
    await floor.drain()
    assert calls >= 3
    assert await floor.statuses(posted) == ["applied"] * 4
    await _in_order_in_each(floor, posted)
    assert await floor.stock("MUG") == (100, 0)
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_dead_letter_whose_key_another_mailbox_uses_meanwhile_is_put_aside_all_the_same(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=1)
    await floor.post(order)
    await floor.drain()
    twice = await floor.post(order, key="k")  # an order's id is taken: a constraint breaks whenever it is tried
    apply, calls = batch.apply, 0

    async def overtaken(*arguments: Any, **options: Any) -> batch.Result:
        nonlocal calls
        calls += 1
        if calls == 3:  # it is being put aside, and its key was not found to be used
            await floor.post(floor.place(1, MUG=1), key="k")
            await floor.drain(1)
        return await apply(*arguments, **options)

    monkeypatch.setattr(batch, "apply", overtaken)
    await floor.drain(0)
    assert await floor.statuses([twice]) == ["failed: write_refused"]
    assert await floor.stock("MUG") == (100, 2)
    await floor.verified()


async def test_a_sold_out_shelf_makes_nobody_look_twice(floor: Shopfloor) -> None:
    await floor.fill(MUG=1, LAMP=100)
    await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    moved = retries("balance_moved")
    posted = await floor.post_all(
        floor.place(number % 4, MUG=1) if number % 2 else floor.place(number % 4, LAMP=1) for number in range(40)
    )
    async with gate_before(floor.database_url, "event_counter") as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in range(4)]
        await gate.wait_for(4)  # all have decided on what others may yet change
        await gate.open()
        await asyncio.gather(*drains)
    assert sorted(await floor.statuses(posted)) == ["applied"] * 20 + ["rejected: insufficient_stock"] * 20
    assert retries("balance_moved") == moved
    await floor.verified()


@pytest.mark.usefixtures("both_ways")
async def test_who_was_refused_is_looked_at_again_when_there_is_enough_after_all(floor: Shopfloor) -> None:
    """The receipt was in the log before the refusal could be: refusing would be wrong."""
    await floor.fill(MUG=1)
    received = ReceiveStock("MUG", 5)
    mailbox = (floor.mailbox_of(received) + 1) % 4
    posted = await floor.post(floor.place(mailbox, MUG=3))
    moved = retries("balance_moved", "log_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([mailbox]))
        await gate.wait_for(1)  # refused, and not yet written
        await floor.post(received, actor=STAFF)
        await floor.drain(floor.mailbox_of(received))
        await gate.open()
        await selling
    assert await floor.statuses([posted]) == ["applied"]
    assert retries("balance_moved", "log_moved") == moved + 1
    await floor.verified()


def _worker(
    floor: Shopfloor,
    batch_max_commands: int = 64,
    *,
    helped: list[int] | None = None,
    inbox: Inbox | None = None,
    pool: "asyncpg.Pool[Any] | None" = None,
    linger_milliseconds: int = 1,
) -> Drainer:
    async def ask_for_help() -> None:
        if helped is not None:
            helped.append(1)

    inbox = inbox or floor.new_inbox(Inbox)
    return Drainer(
        Applier(pool or floor.pool, floor.publisher, inbox.fence),
        inbox,
        batch_max_commands=batch_max_commands,
        batch_concurrency=2,
        linger_milliseconds=linger_milliseconds,
        awake_milliseconds=floor.awake_milliseconds,
        ask_for_help=ask_for_help,
    )


async def test_help_is_asked_for_when_there_is_more_than_a_batch_and_only_then(floor: Shopfloor) -> None:
    await floor.fill(MUG=10_000)
    helped: list[int] = []
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
    await _worker(floor, helped=helped).drain(range(4))
    assert not helped
    posted += await floor.post_all(floor.place(number % 4, MUG=1) for number in range(600))
    await _worker(floor, helped=helped).drain(range(4))
    assert helped
    assert await floor.statuses(posted) == ["applied"] * 620
    await _in_order_in_each(floor, posted)
    await floor.verified()


async def test_a_machine_with_one_worker_process_asks_the_others_for_help(
    floor: Shopfloor, database_url: str, redis_url: str
) -> None:
    await floor.fill(MUG=10_000)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(600))
    config = Settings(
        database_url=database_url, redis_url=redis_url, worker_processes=1, mailbox_count=4, batch_max_commands=64
    )
    broker = ActivationBroker(redis_url)
    worker, state = Worker(config, broker), TaskiqState()
    await worker.start(state)
    try:
        worker.drain(0)

        async def applied() -> bool:
            return await floor.statuses(posted) == ["applied"] * 600

        await eventually_seen("all applied", applied, within_seconds=_WITHIN_SECONDS)
        assert await floor.redis.llen(ACTORS), "nobody was asked for help"
    finally:
        await worker.stop(state)
        await broker.shutdown()
    await floor.verified()


async def test_one_leads_and_whoever_helps_leaves_what_is_no_full_batch_to_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await floor.redis.set(LEADER_KEY, "somebody else")
    posted = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(4))
    await floor.drain()  # as one who helps
    assert await floor.statuses(posted) == ["applied"] * 4
    assert all([await floor.redis.exists(awake_key(mailbox)) for mailbox in range(4)]), "the other is still at work"
    assert await floor.redis.get(LEADER_KEY) == b"somebody else"
    await floor.redis.delete(LEADER_KEY)
    await floor.drain()
    assert not any([await floor.redis.exists(awake_key(mailbox)) for mailbox in range(4)])
    assert not await floor.redis.exists(LEADER_KEY)
    await floor.verified()


class _Killed(Exception):
    """The end of a worker process."""


class _KilledBeforeTrim(Inbox):
    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        raise _Killed


async def test_a_leader_that_dies_between_commit_and_trim_is_followed(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, awake_milliseconds=300) as floor:
        await floor.fill(MUG=100)
        posted = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(4))
        with pytest.raises(_Killed):
            await _worker(floor, inbox=floor.new_inbox(_KilledBeforeTrim)).drain(range(4))
        assert await floor.statuses(posted) == ["applied"] * 4
        assert [await floor.waiting(mailbox) for mailbox in range(4)] == [1] * 4, "committed, and still there"
        # Nothing new comes to the others: what the dead leader left in them has to be removed all the same.
        posted += await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(2))

        async def are_forgotten() -> bool:
            return await floor.forgotten() == [0, 1, 2, 3] and not await floor.redis.exists(LEADER_KEY)

        await eventually_seen("that nobody leads", are_forgotten, within_seconds=_WITHIN_SECONDS)
        await floor.drain()
        assert await floor.statuses(posted) == ["applied"] * 6
        assert await floor.stock("MUG") == (100, 6)
        assert [await floor.waiting(mailbox) for mailbox in range(4)] == [0] * 4
        await floor.verified()


class _WokenAtTheEnd(Inbox):
    """While a helper is about to go, the leader falls asleep, and an activation comes."""

    floor: Shopfloor
    drainer: Drainer
    posted: list[UUID]

    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        left_out = await super().trim(positions, identity)
        if not self.posted:
            await self.floor.redis.delete(LEADER_KEY)
            self.posted.append(await self.floor.post(self.floor.place(1, MUG=1)))
            self.drainer.call([1])
        return left_out


async def test_who_is_woken_while_it_is_about_to_go_stays(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    inbox = floor.new_inbox(_WokenAtTheEnd)
    assert isinstance(inbox, _WokenAtTheEnd)
    inbox.floor, inbox.posted, inbox.drainer = floor, [], _worker(floor, inbox=inbox)
    await floor.redis.set(LEADER_KEY, "somebody else")
    await floor.post(floor.place(0, MUG=1))
    await inbox.drainer.drain([0])
    assert await floor.statuses(inbox.posted) == ["applied"]
    await floor.verified()


class _OutOfStepAtFirst(Inbox):
    """Finds mailbox 1 out of step when it looks for the first time; by then the sweep has mended it."""

    looked = 0

    async def out_of_step(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        self.looked += 1
        return [1] if self.looked == 1 else await super().out_of_step(positions, identity)


async def test_who_leads_comes_back_to_what_was_out_of_step(database_url: str, redis_url: str) -> None:
    """Nobody else is there who would stay: without traffic of its own it would be drained by sweeps alone."""
    async with Shopfloor(database_url, redis_url, awake_milliseconds=200) as floor:
        await floor.fill(MUG=1_000)
        posted = await floor.post(floor.place(1, MUG=1))
        leader = _worker(floor, inbox=floor.new_inbox(_OutOfStepAtFirst), linger_milliseconds=2_000)
        leading = asyncio.create_task(leader.drain(range(4)))

        async def applied() -> bool:
            await floor.post(floor.place(0, MUG=1))  # keeps it at work
            return await floor.statuses([posted]) == ["applied"]

        await eventually_seen("its command applied", applied, within_seconds=_WITHIN_SECONDS)
        assert not leading.done()
        leader.stop()
        await leading
        await floor.drain()
        await floor.verified()


class _LogGoesOnAsAnother(Inbox):
    """While mailbox 0 is looked after, the log gets another identity; then mailbox 1 is called for as well."""

    floor: Shopfloor
    drainer: Drainer

    def begin(self) -> None:
        self.asked: list[tuple[set[int], UUID]] = []
        self.known: UUID | None = None

    async def out_of_step(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        self.asked.append((set(positions), identity))
        return await super().out_of_step(positions, identity)

    async def lead(self, actor: str) -> bool:
        if self.known is None:
            self.known = self.asked[0][1]
            async with self.floor.pool.acquire() as connection:
                await begin_branch(connection, self.known)
            self.drainer.call([1])
        return await super().lead(actor)


async def test_of_a_log_that_goes_on_as_another_every_mailbox_is_looked_up_anew(floor: Shopfloor) -> None:
    inbox = floor.new_inbox(_LogGoesOnAsAnother)
    assert isinstance(inbox, _LogGoesOnAsAnother)
    await floor.fill(MUG=100)
    await floor.post(floor.place(0, MUG=1))
    inbox.begin()
    inbox.floor, inbox.drainer = floor, _worker(floor, inbox=inbox)
    await inbox.drainer.drain([0])
    (first, before), *_ = inbox.asked
    assert first == {0}
    asked_again = [mailboxes for mailboxes, identity in inbox.asked if identity != before]
    assert set().union(*asked_again) == {0, 1}


async def test_who_waits_for_a_row_keeps_no_other_mailbox_waiting(floor: Shopfloor) -> None:
    """The others wait once, until it is known whose row it is; from then on they have batches without that mailbox."""
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=1)
    await floor.post(order)
    await floor.drain()
    by_mailbox = retries("mailbox_by_mailbox")
    waits = await floor.post(CancelOrder(order.order_id))
    others = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (1, 2, 3))
    hurried = await create_batch_pool(floor.database_url, size=2, batch_max_seconds=0.5)
    async with floor.pool.acquire() as holder:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", order.order_id)
        draining = asyncio.create_task(_worker(floor, pool=hurried).drain(range(4)))

        async def are_applied() -> bool:
            return await floor.statuses(others) == ["applied"] * len(others)

        for _ in range(3):
            await eventually_seen("the others applied", are_applied, within_seconds=_WITHIN_SECONDS)
            others += await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in (1, 2, 3))
        await eventually_seen("the last ones applied", are_applied, within_seconds=_WITHIN_SECONDS)
        assert await floor.statuses([waits]) == ["not recorded"]
        assert retries("mailbox_by_mailbox") == by_mailbox + 1, "only once were they in one transaction with it"
        await holding.rollback()
        await draining
    hurried.terminate()
    assert await floor.statuses([waits]) == ["applied"]
    await floor.verified()
