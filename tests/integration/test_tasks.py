"""Tasks: written with their event, and done once whatever happens to the processes that run them."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import pytest

from domain.jobs import FinishJob
from domain.model import Command
from domain.stock import ReceiveStock
from domain.tasks import NewTask, task_id
from ops.verify import verify
from tests import pace
from tests.integration.background import Background, until
from tests.integration.restocking import KIND, Kinds, receive, recorded, rows_of
from tests.integration.shopfloor import STAFF
from workers.leases import LeaseLost
from workers.tasks.kinds import CALLS, TaskTools
from workers.tasks.performing import TASKS_ACTOR
from workers.tasks.queue import Task


async def test_a_batch_writes_its_tasks_with_its_events(tasks: Background, kind: Kinds) -> None:
    first, second = await receive(tasks, "TEA", "MUG")
    rows = await rows_of(tasks)
    said = [(row["id"].int, row["kind"], row["subject"], json.loads(row["payload"]), row["blocked"]) for row in rows]
    assert said == [
        (task_id(first, 0).int, KIND, "TEA", {"quantity": 1}, False),
        (task_id(second, 0).int, KIND, "MUG", {"quantity": 2}, False),
    ]
    events = await tasks.pool.fetch("SELECT seq FROM events WHERE type = 'stock.received' ORDER BY seq DESC LIMIT 2")
    assert [row["created_seq"] for row in rows] == [row["seq"] for row in reversed(events)]
    assert (await tasks.floor.verified())["tasks"] == 2


async def test_the_tasks_of_one_event_and_of_one_batch_keep_their_order(tasks: Background, kind: Kinds) -> None:
    kind.schedule(lambda event: tuple(NewTask(KIND, "same", {"n": number}) for number in range(3)))
    await tasks.floor.post_all([ReceiveStock("TEA", 1), ReceiveStock("TEA", 2)], actor=STAFF)
    await tasks.floor.drain()

    async def written() -> bool:
        return len(await rows_of(tasks)) == 6

    await until(written)
    rows = await rows_of(tasks)
    assert [json.loads(row["payload"])["n"] for row in rows] == [0, 1, 2, 0, 1, 2]
    assert [row["blocked"] for row in rows] == [False] + [True] * 5
    await tasks.floor.verified()


async def test_a_payload_may_hold_any_json(tasks: Background, kind: Kinds) -> None:
    kind.schedule(lambda event: (NewTask(KIND, event.sku, {"pair": (1, 2), "id": UUID(int=1), "none": None}),))
    await receive(tasks, "TEA")
    (row,) = await rows_of(tasks)
    assert json.loads(row["payload"]) == {"pair": [1, 2], "id": str(UUID(int=1)), "none": None}
    await tasks.floor.verified()


async def test_a_task_is_done_once_and_then_deleted(tasks: Background, kind: Kinds) -> None:
    done: list[str] = []

    async def note(task: Task, tools: TaskTools) -> None:
        done.append(task.subject)

    kind.do(note)
    await receive(tasks, "TEA", "MUG", "CUP")
    begun = await asyncio.gather(*(tasks.run_due(CALLS) for _ in range(4)))
    assert sum(begun) == 3
    assert sorted(done) == ["CUP", "MUG", "TEA"]
    assert await rows_of(tasks) == []
    await tasks.floor.verified()


async def test_its_result_is_a_command_with_its_id_as_key_and_the_first_one_counts(
    tasks: Background, kind: Kinds
) -> None:
    """A process is killed after it posted the result, and before the task was removed."""
    calls: list[int] = []

    async def count(task: Task, tools: TaskTools) -> Command:
        calls.append(task.run)
        return ReceiveStock("MUG", 10)

    kind.do(count)
    await receive(tasks, "TEA")
    (dead,) = await tasks.queue.claim([KIND], 1)
    kind.schedule(lambda event: ())  # the result leads to no further task
    posted = await tasks.floor.post(ReceiveStock("MUG", 10), actor=TASKS_ACTOR, key=str(dead.id), fingerprint=b"")
    await until(lambda: recorded(tasks, [posted]))
    await tasks.expire_leases()
    assert await tasks.run_due(CALLS) == 1
    assert calls == [], "a task whose result was posted is not done again"
    assert (await tasks.floor.stock("MUG"))[0] == 11
    assert await rows_of(tasks) == []


async def test_a_result_posted_by_two_runs_counts_once(tasks: Background, kind: Kinds) -> None:
    """One run is overtaken while it is running, and both finish."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(task: Task, tools: TaskTools) -> Command:
        begun.set()
        await go_on.wait()
        return ReceiveStock("MUG", 10)

    kind.do(slow)
    await receive(tasks, "TEA")
    kind.schedule(lambda event: ())
    overtaken = asyncio.create_task(tasks.run_due(CALLS))
    await begun.wait()
    begun.clear()
    await tasks.expire_leases()
    other = asyncio.create_task(tasks.run_due(CALLS))
    await begun.wait()
    go_on.set()
    await asyncio.gather(overtaken, other)
    assert (await tasks.floor.stock("MUG"))[0] == 11
    assert await rows_of(tasks) == []
    told = await tasks.pool.fetch("SELECT status FROM commands WHERE principal = $1", TASKS_ACTOR.principal)
    assert sorted(row["status"] for row in told) in (["applied"], ["applied", "repeated"])


async def test_a_task_that_another_process_is_just_taking_is_not_waited_for(tasks: Background, kind: Kinds) -> None:
    await receive(tasks, "TEA", "MUG")
    async with tasks.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM tasks WHERE subject = 'TEA' FOR UPDATE")
        async with asyncio.timeout(pace.seconds(10)):
            assert [task.subject for task in await tasks.queue.claim([KIND], 2)] == ["MUG"]
    assert [task.subject for task in await tasks.queue.claim([KIND], 2)] == ["TEA"]


async def test_a_run_that_lost_its_lease_can_no_longer_write(tasks: Background, kind: Kinds) -> None:
    await receive(tasks, "TEA")
    (slow,) = await tasks.queue.claim([KIND], 1)
    assert await tasks.queue.claim([KIND], 1) == [], "it is taken until the lease expires"
    await tasks.expire_leases()
    (quick,) = await tasks.queue.claim([KIND], 1)
    for step in (
        tasks.queue.finish(slow),
        tasks.queue.retry_later(slow, "x", after_seconds=0, attempted=True),
        tasks.queue.die(slow, "x"),
        tasks.queue.headway(slow),
    ):
        with pytest.raises(LeaseLost):
            await step
    (row,) = await rows_of(tasks)
    assert (row["lease_token"], row["runs"], row["attempts"], row["last_error"]) == (quick.token, 2, 2, None)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE tasks SET created_seq = 999999", "its event does not exist"),
        ("UPDATE tasks SET created_seq = 1", "does not match its event"),
        ("UPDATE tasks SET subject = 'CUP'", "does not match its event"),
        ("UPDATE tasks SET payload = '{}'", "does not match its event"),
        ("UPDATE tasks SET id = gen_random_uuid()", "does not have the id that follows from its command"),
        ("UPDATE tasks SET blocked = false", "may be run before an earlier one of its subject"),
    ],
)
async def test_verify_finds_a_task_that_does_not_follow_from_its_event(
    tasks: Background, kind: Kinds, statement: str, problem: str
) -> None:
    await receive(tasks, "TEA", "TEA")
    await tasks.floor.verified()
    await tasks.pool.execute(statement)
    report = await verify(tasks.floor.database_url, tasks.floor.redis_url, mailbox_count=tasks.floor.mailbox_count)
    assert problem in {difference["problem"] for difference in report.differences}


async def test_verify_finds_a_job_that_has_no_task(tasks: Background) -> None:
    job_id = await tasks.request("report", {})
    await tasks.floor.verified()
    await tasks.pool.execute("DELETE FROM tasks")
    report = await verify(tasks.floor.database_url, tasks.floor.redis_url, mailbox_count=tasks.floor.mailbox_count)
    (difference,) = report.differences
    assert (difference["subject"], difference["problem"]) == (
        str(job_id),
        "an unfinished job has no task",
    )
    await tasks.floor.post(FinishJob(job_id, "succeeded", 1, {}), actor=STAFF)
