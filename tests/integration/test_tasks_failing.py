"""A task that fails is retried, ever less often; one that fails too often is dead until staff retry it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.jobs import FinishJob, RequestJob
from domain.model import Command
from domain.tasks import RetryTask
from tests.integration.background import Background, until
from tests.integration.restocking import KIND, Kinds, receive, rows_of
from tests.integration.shopfloor import STAFF
from workers.failures import Away
from workers.tasks.kinds import CALLS, TaskTools
from workers.tasks.queue import Task


async def test_a_task_that_always_raises_is_dead_until_it_is_retried(tasks: Background, kind: Kinds) -> None:
    broken = True

    async def perform(task: Task, tools: TaskTools) -> Command | None:
        if broken:
            raise RuntimeError("the receiver is broken")
        return None

    kind.do(perform)
    await receive(tasks, "TEA")
    for attempt in range(1, 4):
        assert await tasks.run_due(CALLS) == 1
        assert await tasks.run_due(CALLS) == 0, "it waits for its next attempt, or is dead"
        (row,) = await rows_of(tasks)
        assert (row["attempts"], row["last_error"]) == (attempt, "RuntimeError: the receiver is broken")
        await tasks.make_due()
    assert row["state"] == "dead"
    assert await tasks.run_due(CALLS) == 0

    await tasks.floor.post(RetryTask(UUID(int=row["id"].int), KIND, "TEA"), actor=STAFF)

    async def queued() -> bool:
        return bool((await rows_of(tasks))[0]["state"] == "queued")

    await until(queued)
    (row,) = await rows_of(tasks)
    assert row["attempts"] == 0
    broken = False
    assert await tasks.run_due(CALLS) == 1
    assert await rows_of(tasks) == []
    retried = await tasks.pool.fetchval("SELECT actor FROM events WHERE type = 'task.retried'")
    assert retried == STAFF.principal
    await tasks.floor.verified()


async def test_a_task_that_makes_headway_before_it_fails_is_retried(tasks: Background, kind: Kinds) -> None:
    attempts: list[int] = []

    async def perform(task: Task, tools: TaskTools) -> None:
        attempts.append(task.attempts)
        if task.run == 3:
            await tools.headway()
        raise RuntimeError("interrupted")

    kind.do(perform)
    await receive(tasks, "TEA")
    states = []
    for _ in range(5):
        assert await tasks.run_due(CALLS) == 1
        (row,) = await rows_of(tasks)
        states.append((row["state"], row["attempts"]))
        await tasks.make_due()
    assert attempts == [1, 2, 3, 2, 3]
    assert states == [("queued", 1), ("queued", 2), ("queued", 1), ("queued", 2), ("dead", 3)]


async def test_failures_beyond_the_task_s_control_do_not_count_but_back_off(tasks: Background, kind: Kinds) -> None:
    attempts: list[int] = []

    async def away(task: Task, tools: TaskTools) -> None:
        attempts.append(task.attempts)
        if len(attempts) < 6:
            raise Away("the receiver is away")

    kind.do(away)
    await receive(tasks, "TEA")
    waits = []
    for _ in range(6):
        await tasks.run_due(CALLS)
        waits += [row["due_at"] - row["updated_at"] for row in await rows_of(tasks)]
        await tasks.make_due()
    assert attempts == [1] * 6
    assert waits[0] <= timedelta(seconds=1)
    assert waits[4] >= timedelta(seconds=8)
    assert await rows_of(tasks) == []


async def test_a_task_that_kills_its_process_each_time_is_given_up(tasks: Background, kind: Kinds) -> None:
    async def never(task: Task, tools: TaskTools) -> None:
        raise AssertionError("it was begun too often already")

    kind.do(never)
    await receive(tasks, "TEA")
    for _ in range(3):
        await tasks.queue.claim([KIND], 1)
        await tasks.expire_leases()
    assert await tasks.run_due(CALLS) == 1
    (row,) = await rows_of(tasks)
    assert (row["state"], row["last_error"]) == ("dead", "TriedTooOften: 3 runs ended without a trace")


async def test_a_result_that_became_a_dead_letter_is_posted_again_on_a_retry(tasks: Background, kind: Kinds) -> None:
    job_id = await tasks.request("report", {})

    async def perform(task: Task, tools: TaskTools) -> Command:
        # A rule that raises: the job's id is taken.
        return FinishJob(job_id, "succeeded", 1, {}) if task.run > 3 else RequestJob(job_id, "report", {})

    kind.do(perform)
    await receive(tasks, "TEA")
    for _ in range(3):
        await tasks.run_due(CALLS)
        await tasks.make_due()
    row = await tasks.task("TEA")
    assert row is not None
    assert row["state"] == "dead"
    assert row["last_error"].startswith("ResultFailed: rule_raised")
    await tasks.pool.execute("UPDATE tasks SET state = 'queued', attempts = 0")
    await tasks.run_due(CALLS)
    assert await tasks.task("TEA") is None
    assert await tasks.finishes(job_id) == 1
    await tasks.floor.verified()


async def test_looking_for_tasks_survives_errors_of_postgres(
    tasks: Background, kind: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a cancelled statement, say: the lane looks again later."""
    refusals: list[Exception] = [asyncpg.DiskFullError(), asyncpg.QueryCanceledError(), OSError()]
    lane = tasks.lane(CALLS)
    claim = lane._performer.queue.claim

    async def refused(names: Sequence[str], limit: int) -> list[Task]:
        if refusals:
            raise refusals.pop()
        return await claim(names, limit)

    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    monkeypatch.setattr(lane._performer.queue, "claim", refused)
    await receive(tasks, "TEA")
    lane.start()

    async def done() -> bool:
        lane.want()
        return not await rows_of(tasks)

    try:
        await until(done)
    finally:
        await lane.stop()
    assert not refusals
