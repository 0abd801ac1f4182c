"""Which task is next: in order for one subject, in parallel for different ones, and not before it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from domain.model import Event
from domain.payments.entries import Entry
from domain.payments.events import PaymentCreated, PaymentReported
from domain.payments.payment import Capabilities
from domain.stock import ReceiveStock
from domain.tasks import NewTask, TaskRetried, task_id
from runtime.database import create_job_pool
from runtime.records import EventRecord, encode, microseconds
from tests.integration.background import Background, until
from tests.integration.restocking import KIND, Kinds, receive, rows_of
from tests.integration.shopfloor import STAFF
from tests.plans import PLANS, force
from workers.headlines import DECODER, Headline
from workers.tasks import finishing, queue
from workers.tasks.dispatcher import Dispatcher, Lane
from workers.tasks.finishing import Finisher
from workers.tasks.kinds import CALLS, JOBS, TaskTools
from workers.tasks.queue import Task


async def run_until_all_are_done(tasks: Background, lanes: Sequence[Lane]) -> None:
    """Runs the lanes side by side until no task is left."""

    async def all_done() -> bool:
        return not await rows_of(tasks)

    for lane in lanes:
        lane.start()
        lane.want()
    try:
        await until(all_done)
    finally:
        for lane in lanes:
            await lane.stop()


async def test_the_tasks_of_one_subject_are_done_in_order_and_others_in_parallel(
    tasks: Background, kind: Kinds
) -> None:
    running: dict[str, int] = {}
    together = 0
    done: dict[str, list[int]] = {}

    async def perform(task: Task, tools: TaskTools) -> None:
        nonlocal together
        running[task.subject] = running.get(task.subject, 0) + 1
        assert running[task.subject] == 1, "two tasks of one subject at a time"
        together = max(together, sum(running.values()))
        await asyncio.sleep(0.002)
        done.setdefault(task.subject, []).append(task.payload["quantity"])
        running[task.subject] -= 1

    kind.do(perform)
    await tasks.floor.post_all(
        [ReceiveStock(sku, number) for number in range(1, 21) for sku in ("TEA", "MUG", "CUP")], actor=STAFF
    )
    await tasks.floor.drain()

    async def written() -> bool:
        return len(await rows_of(tasks)) == 60

    await until(written)
    await run_until_all_are_done(tasks, [tasks.lane(CALLS, size=8) for _ in range(3)])
    assert done == {sku: list(range(1, 21)) for sku in ("TEA", "MUG", "CUP")}
    assert together > 1
    await tasks.floor.verified()


async def test_a_lane_that_was_full_looks_again_when_there_is_room(tasks: Background, kind: Kinds) -> None:
    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    await receive(tasks, "TEA", "MUG", "CUP")
    await run_until_all_are_done(tasks, [tasks.lane(CALLS, size=1)])


@pytest.mark.parametrize("state", ["dead", "backing off"])
async def test_a_failing_task_holds_up_its_own_subject_only(tasks: Background, kind: Kinds, state: str) -> None:
    done: list[tuple[str, int]] = []

    async def perform(task: Task, tools: TaskTools) -> None:
        if (task.subject, task.payload["quantity"]) == ("TEA", 1):
            raise RuntimeError("not this one")
        done.append((task.subject, task.payload["quantity"]))

    kind.do(perform)
    await receive(tasks, "TEA", "TEA", "MUG")
    for _ in range(3 if state == "dead" else 1):
        await tasks.run_due(CALLS)
        if state == "dead":
            await tasks.make_due()
    await tasks.run_due(CALLS)
    assert done == [("MUG", 3)]
    assert [row["state"] for row in await rows_of(tasks)] == ["dead" if state == "dead" else "queued", "queued"]


async def test_a_task_that_was_left_blocked_is_found(tasks: Background, kind: Kinds) -> None:
    """Its predecessor was finished while it was being written, and neither transaction saw the other."""

    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    await receive(tasks, "TEA", "TEA", "TEA")
    first = (await rows_of(tasks))[0]
    await tasks.pool.execute("DELETE FROM tasks WHERE id = $1", first["id"])
    assert await tasks.run_due(CALLS) == 0
    assert await tasks.queue.unblock() == 1
    assert await tasks.queue.unblock() == 0
    assert [row["blocked"] for row in await rows_of(tasks)] == [False, True]
    dispatcher = Dispatcher([tasks.lane(CALLS)])
    dispatcher.start()
    await dispatcher.tend()

    async def all_done() -> bool:
        return not await rows_of(tasks)

    try:
        await until(all_done)
    finally:
        await dispatcher.stop()


async def test_it_is_not_run_before_it_is_due(tasks: Background, kind: Kinds) -> None:
    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    kind.schedule(lambda event: (NewTask(KIND, event.sku, {}, after_seconds=3_600),))
    await receive(tasks, "TEA")
    assert await tasks.run_due(CALLS) == 0
    await tasks.make_due()
    assert await tasks.run_due(CALLS) == 1


_SUBJECTS = 25_000
_OF_ONE_SUBJECT = 50_000


async def test_due_tasks_are_found_by_index_among_a_hundred_thousand(tasks: Background, kind: Kinds) -> None:
    """Half of them have their own subjects, and are due now or later; half are blocked by a dead one."""
    await tasks.pool.execute(
        f"""
        INSERT INTO tasks (id, kind, subject, payload, created_seq, state, blocked, due_at, created_at, updated_at)
        SELECT gen_random_uuid(), '{KIND}', CASE WHEN n <= {_OF_ONE_SUBJECT} THEN 'one' ELSE n::text END, '{{}}', n,
            CASE WHEN n = 1 THEN 'dead' ELSE 'queued' END, n BETWEEN 2 AND {_OF_ONE_SUBJECT},
            now() + CASE WHEN n <= {_OF_ONE_SUBJECT + _SUBJECTS} THEN 0 ELSE 1 END * interval '1 hour', now(), now()
        FROM generate_series(1, {_OF_ONE_SUBJECT + 2 * _SUBJECTS}) AS n
        """
    )
    await tasks.pool.execute("ANALYZE tasks")
    plans = {
        "claim": (queue._CLAIM, ([KIND], 32, 30.0)),
        "finish": (finishing._FINISH, ([task_id(UUID(int=1), 0)], [UUID(int=1)])),
    }
    for name, (statement, arguments) in plans.items():
        async with tasks.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan on tasks" not in plan, f"{name}:\n{plan}"
            assert "Index" in plan, f"{name}:\n{plan}"
    claimed = await tasks.queue.claim([KIND], 32)
    assert len(claimed) == 32
    assert "one" not in {task.subject for task in claimed}
    assert await tasks.queue.unblock() == 0


async def _held(tasks: Background, *subjects: str) -> list[UUID]:
    """Puts tasks of these subjects into the outbox, leased under tokens that are their ids."""
    ids = sorted(uuid4() for _ in subjects)
    await tasks.pool.executemany(
        f"""
        INSERT INTO tasks (id, kind, subject, payload, created_seq, state, blocked, due_at, created_at, updated_at,
            lease_token, lease_until)
        VALUES ($1, '{KIND}', $2, '{{}}', $3, 'queued', $4, now(), now(), now(), $1, now() + interval '1 hour')
        """,
        [(each, subjects[n], n, subjects[n] in subjects[:n]) for n, each in enumerate(ids)],
    )
    return ids


async def _finish(pool: asyncpg.Pool[Any], ids: list[UUID]) -> list[bool]:
    """Finishes them in one statement, as those that end together."""
    finisher = Finisher(pool, lambda kind: None)
    return await asyncio.gather(*(finisher.finish(each, each) for each in ids))


async def _waiting(tasks: Background, count: int) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await tasks.pool.fetchval(waiting) == count)


async def test_two_that_finish_the_same_tasks_at_once_do_not_wait_for_each_other(tasks: Background) -> None:
    """As when a connection was lost, and what was sent over it is still at work. Each has locked what it names first,
    if that is the order, and waits for what the test holds; then it wants what the other has locked."""
    one, held, other = await _held(tasks, "one", "held", "other")
    await force(tasks.floor.database_url, (*PLANS["only index scans"], "enable_hashjoin", "enable_mergejoin"))
    async with AsyncExitStack() as stack:
        pools = []
        for _ in range(2):
            pools.append(await create_job_pool(tasks.floor.database_url, size=1, job_max_seconds=60))
            stack.callback(pools[-1].terminate)
        async with tasks.pool.acquire() as holder, holder.transaction():
            await holder.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", held)
            finishing = [
                asyncio.create_task(_finish(pool, ids))
                for pool, ids in zip(pools, ([one, held, other], [other, held, one]), strict=True)
            ]
            await until(partial(_waiting, tasks, 2))
        assert sorted(await asyncio.gather(*finishing)) == [[False] * 3, [True] * 3]


async def test_a_task_whose_lease_is_lost_unblocks_nothing(tasks: Background) -> None:
    """The lease is lost while its holder waits to finish the task."""
    first, second = await _held(tasks, "one", "one")
    async with tasks.pool.acquire() as holder, holder.transaction():
        await holder.execute("UPDATE tasks SET lease_token = $1 WHERE id = $2", uuid4(), first)
        finishing = asyncio.create_task(_finish(tasks.pool, [first]))
        await until(partial(_waiting, tasks, 1))
    assert await finishing == [False]
    assert await tasks.pool.fetchval("SELECT blocked FROM tasks WHERE id = $1", second)


def _told(*events: Event) -> list[Headline]:
    """The events as a background process hears of them."""
    at = microseconds(datetime.now(UTC))
    records = [
        EventRecord(seq, event.type, event.subject(), uuid4(), "", at, msgspec.Raw(msgspec.json.encode(event)))
        for seq, event in enumerate(events, start=1)
    ]
    return DECODER.decode(encode(records))


async def test_only_the_lane_with_a_task_that_is_due_looks_for_it(tasks: Background) -> None:
    order_id, payment_id = uuid4(), uuid4()
    about = payment_id, order_id, "ann", "sandbox"
    entry = Entry("charge_request", str(payment_id), 100, datetime.now(UTC))
    created = PaymentCreated(*about, 100, "GBP", "automatic", Capabilities(), entry)
    reported = PaymentReported(*about, (), ask_in_seconds=60.0)
    retried = TaskRetried(uuid4(), "report", "")
    lanes = [tasks.lane(CALLS), tasks.lane(JOBS)]
    dispatcher = Dispatcher(lanes)

    def looking() -> list[str]:
        wanted = [lane.name for lane in lanes if lane._wanted.is_set()]
        for lane in lanes:
            lane._wanted.clear()
        return wanted

    for events, names in (
        ([reported], []),
        ([reported, created], [CALLS]),
        ([retried], [JOBS]),
    ):
        dispatcher.hear(_told(*events))
        assert looking() == names
    later = msgspec.structs.replace(_told(created)[0], version=99)
    dispatcher.hear([later])
    assert looking() == [CALLS, JOBS], "what a later release has written may lead to anything"
