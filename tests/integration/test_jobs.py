"""Jobs: done once, whatever happens to the processes that run them, and retried within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import redis

from domain.jobs import FinishJob
from runtime.mailboxes.inbox import Entry
from runtime.mailboxes.post import MailboxesUnavailable, MailboxFull
from tests.integration.background import Background, background, until
from tests.integration.jobwork import DoJob, Gate, claim, plain, row_of
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.failures import Away
from workers.jobs import store
from workers.jobs.kinds import Job, JobFailed, Tools


async def test_the_draining_alongside_a_test_continues_after_a_lost_connection(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that came too late on a busy event loop used to end the draining, and the test that waited for it
    hung."""
    lost, read = [redis.exceptions.TimeoutError(), OSError()], floor.inbox.read_each

    async def unreliable(*arguments: Any, **options: Any) -> dict[int, list[Entry]]:
        if lost:
            raise lost.pop()
        return await read(*arguments, **options)

    monkeypatch.setattr(floor.inbox, "read_each", unreliable)
    async with background(floor) as jobs:
        assert await jobs.request("report", {})
    assert not lost


async def _progress(jobs: Background, job_id: UUID) -> tuple[int, int]:
    row = await jobs.pool.fetchrow("SELECT done, total FROM job_progress WHERE job_id = $1", job_id)
    assert row is not None
    return row["done"], row["total"]


async def test_a_job_is_found_done_and_finished_once(jobs: Background, does: Callable[[DoJob], None]) -> None:
    does(plain)
    job_id = await jobs.request("report", {"a": 1})
    begun = await asyncio.gather(jobs.run_due(), jobs.run_due(), jobs.run_due())
    assert sum(begun) == 1
    row = await row_of(jobs, job_id)
    assert (row["status"], row["run"], row["summary"]) == ("succeeded", 1, {"done": True})
    assert await _progress(jobs, job_id) == (3, 3)
    assert await jobs.result(job_id) == b'{"a": 1}'
    assert await jobs.finishes(job_id) == 1
    assert await jobs.task(job_id) is None
    assert await jobs.run_due() == 0
    await jobs.floor.verified()


async def test_a_dead_process_s_job_is_done_by_another(jobs: Background, does: Callable[[DoJob], None]) -> None:
    does(plain)
    job_id = await jobs.request("report", {})
    dead = await claim(jobs, job_id)
    await store.keep_part(jobs.pool, Job(job_id, "report", {}, "x", dead.run, 1, None, 0, None), 0, b"half of it")
    assert await jobs.run_due() == 0, "it is taken until the lease expires"
    await jobs.expire_leases()
    assert await jobs.run_due() == 1
    row = await row_of(jobs, job_id)
    assert (row["status"], row["run"]) == ("succeeded", 2)
    assert await jobs.result(job_id) == b"{}"
    assert await jobs.finishes(job_id) == 1


async def test_a_process_that_was_stopped_for_too_long_notices_and_does_no_harm(
    floor: Shopfloor, does: Callable[[DoJob], None]
) -> None:
    gate = Gate()
    does(gate)
    async with background(floor, task_lease_seconds=1) as jobs:
        job_id = await jobs.request("report", {})
        slow = asyncio.create_task(jobs.run_due())
        await gate.begun.wait()
        gate.begun.clear()
        await jobs.expire_leases()
        fast = asyncio.create_task(jobs.run_due())
        await gate.begun.wait()
        await slow  # its renewal finds that the lease is lost
        assert (await row_of(jobs, job_id))["status"] == "queued"
        gate.open.set()
        await fast
        assert gate.runs == [1, 2]
        assert (await row_of(jobs, job_id))["summary"] == {"run": 2}
        assert await jobs.result(job_id) == b"run 2"
        assert await jobs.finishes(job_id) == 1


async def test_of_two_runs_that_finish_the_first_one_s_result_counts(
    jobs: Background, does: Callable[[DoJob], None]
) -> None:
    gate = Gate()
    does(gate)
    job_id = await jobs.request("report", {})
    running = asyncio.create_task(jobs.run_due())
    await gate.begun.wait()
    # Another run, long believed dead, had sent its result just before it lost its lease.
    stale = Job(job_id, "report", {}, STAFF.principal, 7, 1, None, 0, None)
    await store.keep_part(jobs.pool, stale, 0, b"the other's")
    await jobs.floor.post(FinishJob(job_id, "succeeded", 7, {"run": 7}), actor=STAFF)

    async def finished() -> bool:
        return bool((await row_of(jobs, job_id))["status"] == "succeeded")

    await until(finished)
    gate.open.set()
    await running
    assert (await row_of(jobs, job_id))["summary"] == {"run": 7}
    assert await jobs.result(job_id) == b"the other's"
    assert await jobs.finishes(job_id) == 1
    assert await jobs.task(job_id) is None


async def test_an_interrupted_job_is_retried_but_not_for_ever(jobs: Background, does: Callable[[DoJob], None]) -> None:
    attempts = []

    async def breaks(job: Job, tools: Tools) -> dict[str, Any]:
        attempts.append(job.attempts)
        raise RuntimeError("secret particulars")

    does(breaks)
    job_id = await jobs.request("report", {})
    for _ in range(3):
        await jobs.run_due()
        assert await jobs.due() == []
        await jobs.make_due()
    assert attempts == [1, 2, 3]
    row = await row_of(jobs, job_id)
    assert row["status"] == "failed"
    assert row["summary"] == {"code": "job_gave_up", "detail": "It was interrupted 3 times in a row."}
    assert await jobs.finishes(job_id) == 1
    await jobs.floor.verified()


async def test_a_job_whose_processes_all_die_is_given_up(jobs: Background, does: Callable[[DoJob], None]) -> None:
    does(plain)
    job_id = await jobs.request("report", {})
    for _ in range(3):
        await claim(jobs, job_id)
        await jobs.expire_leases()
    await jobs.run_due()
    row = await row_of(jobs, job_id)
    assert (row["status"], row["summary"]["code"]) == ("failed", "job_gave_up")


@pytest.mark.parametrize("away", [MailboxesUnavailable(), MailboxFull(), Away()], ids=repr)
async def test_a_job_is_not_given_up_because_the_shop_is_unavailable(
    jobs: Background, does: Callable[[DoJob], None], away: Exception
) -> None:
    attempts = []

    async def waits(job: Job, tools: Tools) -> dict[str, Any]:
        attempts.append(job.attempts)
        if len(attempts) < 5:
            raise away
        return {}

    does(waits)
    job_id = await jobs.request("report", {})
    for _ in range(5):
        await jobs.run_due()
        await jobs.make_due()
    assert attempts == [1] * 5
    assert (await row_of(jobs, job_id))["status"] == "succeeded"


async def test_an_impossible_job_fails_at_once(jobs: Background, does: Callable[[DoJob], None]) -> None:
    async def refuses(job: Job, tools: Tools) -> dict[str, Any]:
        raise JobFailed("no_such_thing", "There is no such thing.")

    does(refuses)
    job_id = await jobs.request("report", {})
    await jobs.run_due()
    row = await row_of(jobs, job_id)
    assert (row["status"], row["run"]) == ("failed", 1)
    assert row["summary"] == {"code": "no_such_thing", "detail": "There is no such thing."}


async def test_a_process_that_ends_gives_its_jobs_back(jobs: Background, does: Callable[[DoJob], None]) -> None:
    gate = Gate()
    does(gate)
    job_id = await jobs.request("report", {})
    lane = jobs.lane()
    await lane.look()
    await gate.begun.wait()
    await lane.stop()
    assert await jobs.due() == [str(job_id)], "at once, and not when the lease expires"
    task = await jobs.task(job_id)
    assert task is not None
    assert task["attempts"] == 0
    gate.open.set()
    await jobs.run_due()
    assert (await row_of(jobs, job_id))["summary"] == {"run": 2}


async def test_the_number_of_jobs_at_a_time_is_limited(floor: Shopfloor, does: Callable[[DoJob], None]) -> None:
    gate = Gate()
    does(gate)
    async with background(floor, job_concurrency=2) as jobs:
        asked = [await jobs.request("report", {}) for _ in range(3)]
        lane = jobs.lane()
        lane.start()
        lane.want()

        async def two_begun() -> bool:
            return len(gate.runs) == 2

        await until(two_begun)
        assert await lane.look() == 0, "there is no room"
        assert await jobs.due() == [str(asked[2])]
        gate.open.set()

        async def all_done() -> bool:
            return [(await row_of(jobs, job_id))["status"] for job_id in asked] == ["succeeded"] * 3

        await until(all_done)  # a lane that has room again looks by itself
        await lane.stop()
