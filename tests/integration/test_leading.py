"""One worker leads, and the others help it with full batches; whichever of them dies, nothing is left behind."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

import pytest
from taskiq import TaskiqState

from runtime.activation import ACTORS, ActivationBroker
from runtime.branches import begin_branch
from runtime.mailboxes.fence import Confirmed, known_to, make_known
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.redis_keys import LEADER_KEY, awake_key
from runtime.settings import Settings
from tests.integration.drainers import drainer, in_order_in_each
from tests.integration.shopfloor import Shopfloor
from tests.system import eventually_seen
from workers.app import Worker
from workers.drain import Drainer

_WITHIN_SECONDS = 20.0


async def test_help_is_requested_for_more_than_a_batch_and_only_then(floor: Shopfloor) -> None:
    await floor.fill(MUG=10_000)
    helped: list[int] = []
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
    await drainer(floor, helped=helped).drain(range(4))
    assert not helped
    posted += await floor.post_all(floor.place(number % 4, MUG=1) for number in range(600))
    await drainer(floor, helped=helped).drain(range(4))
    assert helped
    assert await floor.statuses(posted) == ["applied"] * 620
    await in_order_in_each(floor, posted)
    await floor.verified()


async def test_a_machine_with_one_worker_process_asks_other_machines_for_help(
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
        assert await floor.redis.llen(ACTORS), "no help was requested"
    finally:
        await worker.stop(state)
        await broker.shutdown()
    await floor.verified()


async def test_helpers_leave_the_mailboxes_awake_for_the_leader(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await floor.redis.set(LEADER_KEY, "another worker")
    posted = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(4))
    await floor.drain()  # as a helper
    assert await floor.statuses(posted) == ["applied"] * 4
    assert all([await floor.redis.exists(awake_key(mailbox)) for mailbox in range(4)]), "the leader is still at work"
    assert await floor.redis.get(LEADER_KEY) == b"another worker"
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


async def test_a_leader_that_dies_between_commit_and_trim_is_replaced(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, awake_milliseconds=300) as floor:
        await floor.fill(MUG=100)
        posted = await floor.post_all(floor.place(mailbox, MUG=1) for mailbox in range(4))
        with pytest.raises(_Killed):
            await drainer(floor, inbox=floor.new_inbox(_KilledBeforeTrim)).drain(range(4))
        assert await floor.statuses(posted) == ["applied"] * 4
        assert [await floor.waiting(mailbox) for mailbox in range(4)] == [1] * 4, "committed, and still there"
        # The others receive nothing new: what the dead leader left in them has to be removed all the same.
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
    """While a helper is about to leave, the leader falls asleep and an activation arrives."""

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


async def test_a_helper_woken_while_it_is_about_to_leave_stays(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    inbox = floor.new_inbox(_WokenAtTheEnd)
    assert isinstance(inbox, _WokenAtTheEnd)
    inbox.floor, inbox.posted, inbox.drainer = floor, [], drainer(floor, inbox=inbox)
    await floor.redis.set(LEADER_KEY, "another worker")
    await floor.post(floor.place(0, MUG=1))
    await inbox.drainer.drain([0])
    assert await floor.statuses(inbox.posted) == ["applied"]
    await floor.verified()


class _OutOfStepAtFirst(Inbox):
    """Finds mailbox 1 out of step on its first look; by the second the sweep has repaired it."""

    looked = 0

    async def take_up(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        self.looked += 1
        return [1] if self.looked == 1 else await super().take_up(positions, identity)


async def test_the_leader_returns_to_a_mailbox_that_was_out_of_step(database_url: str, redis_url: str) -> None:
    """No other worker would stay: without new commands it would only be drained by sweeps."""
    async with Shopfloor(database_url, redis_url, awake_milliseconds=200) as floor:
        await floor.fill(MUG=1_000)
        posted = await floor.post(floor.place(1, MUG=1))
        leader = drainer(floor, inbox=floor.new_inbox(_OutOfStepAtFirst), linger_milliseconds=2_000)
        leading = asyncio.create_task(leader.drain(range(4)))

        async def applied() -> bool:
            await floor.post(floor.place(0, MUG=1))  # keeps it busy
            return await floor.statuses([posted]) == ["applied"]

        await eventually_seen("its command applied", applied, within_seconds=_WITHIN_SECONDS)
        assert not leading.done()
        leader.stop()
        await leading
        await floor.drain()
        await floor.verified()


class _LogGoesOnAsAnother(Inbox):
    """While mailbox 0 is being drained, the log gets another identity, of which Redis is told; then mailbox 1 is called
    as well."""

    floor: Shopfloor
    drainer: Drainer

    def begin(self) -> None:
        self.asked: list[tuple[set[int], UUID]] = []
        self.known: UUID | None = None

    async def take_up(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        self.asked.append((set(positions), identity))
        return await super().take_up(positions, identity)

    async def lead(self, actor: str) -> bool:
        if self.known is None:
            self.known = self.asked[0][1]
            async with self.floor.pool.acquire() as connection:
                identity = await begin_branch(connection, self.known)
            await make_known(self.floor.redis, Confirmed(identity, 0), await known_to(self.floor.redis))
            self.drainer.call([1])
        return await super().lead(actor)


async def test_every_mailbox_is_checked_again_when_the_log_continues_as_another(floor: Shopfloor) -> None:
    inbox = floor.new_inbox(_LogGoesOnAsAnother)
    assert isinstance(inbox, _LogGoesOnAsAnother)
    await floor.fill(MUG=100)
    await floor.post(floor.place(0, MUG=1))
    inbox.begin()
    inbox.floor, inbox.drainer = floor, drainer(floor, inbox=inbox)
    await inbox.drainer.drain([0])
    (first, before), *_ = inbox.asked
    assert first == {0}
    asked_again = [mailboxes for mailboxes, identity in inbox.asked if identity != before]
    assert set().union(*asked_again) == {0, 1}
