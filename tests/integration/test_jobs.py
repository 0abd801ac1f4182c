"""Jobs: done once whatever happens to those who do them, tried again within bounds, and tidied up behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import redis

from domain.jobs import FinishJob
from runtime.mailboxes.inbox import Entry
from runtime.mailboxes.post import MailboxesUnavailable, MailboxFull
from runtime.tables.jobs import PART_BYTES
from tests.integration.background import Background, background, until
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.failures import Away
from workers.jobs import store
from workers.jobs.kinds import KINDS, Job, JobFailed, Tools
from workers.leases import LeaseLost
from workers.tasks.queue import Task

_Do = Callable[[Job, Tools], Awaitable[dict[str, Any]]]


@pytest.fixture
async def jobs(floor: Shopfloor) -> AsyncIterator[Background]:
    async with background(floor, task_lease_seconds=30, task_attempts_max=3) as running:
        yield running


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[_Do], None]:
    """Says what a report does in this test."""
    return lambda do: monkeypatch.setitem(KINDS, "report", do)


class Gate:
    """A job that stands still in the middle of its work until it may go on."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, job: Job, tools: Tools) -> dict[str, Any]:
        self.runs.append(job.run)
        await tools.result.write(b"run %d" % job.run)
        self.begun.set()
        await self.open.wait()
        return {"run": job.run}


async def _plain(job: Job, tools: Tools) -> dict[str, Any]:
    await tools.result.write(json.dumps(job.params).encode())
    tools.progress(3, 3)
    return {"done": True}


async def test_whoever_drains_beside_a_test_goes_on_after_a_lost_connection(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that came too late for a busy event loop ended the draining here, and whoever waited for it hung."""
    lost, read = [redis.exceptions.TimeoutError(), OSError()], floor.inbox.read_each

    async def unreliable(*arguments: Any, **options: Any) -> dict[int, list[Entry]]:
        if lost:
            raise lost.pop()
        return await read(*arguments, **options)

    monkeypatch.setattr(floor.inbox, "read_each", unreliable)
    async with background(floor) as jobs:
        assert await jobs.request("report", {})
    assert not lost


async def _row(jobs: Background, job_id: UUID) -> dict[str, Any]:
    row = await jobs.row(job_id)
    assert row is not None
    return {**row, "summary": json.loads(row["summary"])}


async def _progress(jobs: Background, job_id: UUID) -> tuple[int, int]:
    row = await jobs.pool.fetchrow("SELECT done, total FROM job_progress WHERE job_id = $1", job_id)
    assert row is not None
    return row["done"], row["total"]


async def _claim(jobs: Background, job_id: UUID) -> Task:
    """Takes the job's task, as a process does that is never heard of again."""
    (task,) = await jobs.queue.claim(["report"], 1)
    assert task.subject == str(job_id)
    return task


async def test_a_job_is_found_done_and_finished_once(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    job_id = await jobs.request("report", {"a": 1})
    begun = await asyncio.gather(jobs.run_due(), jobs.run_due(), jobs.run_due())
    assert sum(begun) == 1
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"], row["summary"]) == ("succeeded", 1, {"done": True})
    assert await _progress(jobs, job_id) == (3, 3)
    assert await jobs.result(job_id) == b'{"a": 1}'
    assert await jobs.finishes(job_id) == 1
    assert await jobs.task(job_id) is None
    assert await jobs.run_due() == 0
    await jobs.floor.verified()


async def test_what_a_dead_process_had_is_done_by_another(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    job_id = await jobs.request("report", {})
    dead = await _claim(jobs, job_id)
    await store.keep_part(jobs.pool, Job(job_id, "report", {}, "x", dead.run, 1, None, 0, None), 0, b"half of it")
    assert await jobs.run_due() == 0, "it is taken while the lease runs"
    await jobs.expire_leases()
    assert await jobs.run_due() == 1
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"]) == ("succeeded", 2)
    assert await jobs.result(job_id) == b"{}"
    assert await jobs.finishes(job_id) == 1


async def test_whoever_stood_still_for_too_long_learns_of_it_and_harms_nobody(
    floor: Shopfloor, does: Callable[[_Do], None]
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
        await slow  # its renewal finds the lease lost
        assert (await _row(jobs, job_id))["status"] == "queued"
        gate.open.set()
        await fast
        assert gate.runs == [1, 2]
        assert (await _row(jobs, job_id))["summary"] == {"run": 2}
        assert await jobs.result(job_id) == b"run 2"
        assert await jobs.finishes(job_id) == 1


async def test_of_two_runs_that_finish_the_first_stands_with_its_own_result(
    jobs: Background, does: Callable[[_Do], None]
) -> None:
    gate = Gate()
    does(gate)
    job_id = await jobs.request("report", {})
    running = asyncio.create_task(jobs.run_due())
    await gate.begun.wait()
    # Another run, long believed dead, had sent its word just before it lost its lease.
    stale = Job(job_id, "report", {}, STAFF.principal, 7, 1, None, 0, None)
    await store.keep_part(jobs.pool, stale, 0, b"the other's")
    await jobs.floor.post(FinishJob(job_id, "succeeded", 7, {"run": 7}), actor=STAFF)

    async def finished() -> bool:
        return bool((await _row(jobs, job_id))["status"] == "succeeded")

    await until(finished)
    gate.open.set()
    await running
    assert (await _row(jobs, job_id))["summary"] == {"run": 7}
    assert await jobs.result(job_id) == b"the other's"
    assert await jobs.finishes(job_id) == 1
    assert await jobs.task(job_id) is None


async def test_what_breaks_off_is_tried_again_but_not_for_ever(jobs: Background, does: Callable[[_Do], None]) -> None:
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
    row = await _row(jobs, job_id)
    assert row["status"] == "failed"
    assert row["summary"] == {"code": "job_gave_up", "detail": "It was interrupted 3 times in a row."}
    assert await jobs.finishes(job_id) == 1
    await jobs.floor.verified()


async def test_a_job_whose_processes_all_die_is_given_up(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    job_id = await jobs.request("report", {})
    for _ in range(3):
        await _claim(jobs, job_id)
        await jobs.expire_leases()
    await jobs.run_due()
    row = await _row(jobs, job_id)
    assert (row["status"], row["summary"]["code"]) == ("failed", "job_gave_up")


@pytest.mark.parametrize("away", [MailboxesUnavailable(), MailboxFull(), Away()], ids=repr)
async def test_a_job_is_not_given_up_because_the_shop_is_away(
    jobs: Background, does: Callable[[_Do], None], away: Exception
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
    assert (await _row(jobs, job_id))["status"] == "succeeded"


async def test_a_run_goes_on_from_the_checkpoint_of_the_last(jobs: Background, does: Callable[[_Do], None]) -> None:
    seen: list[tuple[int, int, Any]] = []

    async def counts(job: Job, tools: Tools) -> dict[str, Any]:
        seen.append((job.attempts, job.progress_done, job.checkpoint))
        done = (job.checkpoint or {"done": 0})["done"]
        if done == 6:
            return {"done": done}
        tools.progress(done + 1, 6)
        await tools.checkpoint({"done": done + 1})
        raise RuntimeError("broken off")

    does(counts)
    job_id = await jobs.request("report", {})
    for _ in range(7):
        await jobs.run_due()
        await jobs.make_due()
    assert seen[0] == (1, 0, None)
    assert [checkpoint["done"] for _, _, checkpoint in seen[1:]] == [1, 2, 3, 4, 5, 6]
    assert {attempts for attempts, _, _ in seen[1:]} == {2}, "headway makes up for having broken off"
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"], row["summary"]) == ("succeeded", 7, {"done": 6})


async def test_a_lost_lease_shows_at_the_next_checkpoint(jobs: Background) -> None:
    job_id = await jobs.request("report", {})
    mine = await _claim(jobs, job_id)
    await jobs.expire_leases()
    await _claim(jobs, job_id)
    with pytest.raises(LeaseLost):
        await store.save_checkpoint(jobs.pool, mine, job_id, "{}", 0, None)
    with pytest.raises(LeaseLost):
        await store.save_progress(jobs.pool, mine, job_id, 0, None)


async def test_what_can_never_be_done_fails_at_once(jobs: Background, does: Callable[[_Do], None]) -> None:
    async def refuses(job: Job, tools: Tools) -> dict[str, Any]:
        raise JobFailed("no_such_thing", "There is no such thing.")

    does(refuses)
    job_id = await jobs.request("report", {})
    await jobs.run_due()
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"]) == ("failed", 1)
    assert row["summary"] == {"code": "no_such_thing", "detail": "There is no such thing."}


async def test_a_result_has_a_bound(floor: Shopfloor, does: Callable[[_Do], None]) -> None:
    async def writes(job: Job, tools: Tools) -> dict[str, Any]:
        for _ in range(3):
            await tools.result.write(b"x" * PART_BYTES)
        return {}

    does(writes)
    async with background(floor, job_result_max_bytes=2 * PART_BYTES) as jobs:
        job_id = await jobs.request("report", {})
        await jobs.run_due()
        assert (await _row(jobs, job_id))["summary"]["code"] == "result_too_large"


async def test_a_process_that_ends_gives_its_jobs_back(jobs: Background, does: Callable[[_Do], None]) -> None:
    gate = Gate()
    does(gate)
    job_id = await jobs.request("report", {})
    lane = jobs.lane()
    await lane.look()
    await gate.begun.wait()
    await lane.stop()
    assert await jobs.due() == [str(job_id)], "at once, and not when the lease runs out"
    task = await jobs.task(job_id)
    assert task is not None
    assert task["attempts"] == 0
    gate.open.set()
    await jobs.run_due()
    assert (await _row(jobs, job_id))["summary"] == {"run": 2}


async def test_only_so_many_at_a_time(floor: Shopfloor, does: Callable[[_Do], None]) -> None:
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
            return [(await _row(jobs, job_id))["status"] for job_id in asked] == ["succeeded"] * 3

        await until(all_done)  # a lane that has room again looks by itself
        await lane.stop()


async def test_what_was_uploaded_is_read_part_by_part(jobs: Background, does: Callable[[_Do], None]) -> None:
    async def reads(job: Job, tools: Tools) -> dict[str, Any]:
        every = [(part, data.decode()) async for part, data in tools.upload()]
        return {"all": every, "behind 0": [data.decode() async for _, data in tools.upload(after_part=0)]}

    does(reads)
    job_id = await jobs.request("report", {})
    await _upload(jobs, job_id, b"one", b"two")
    await jobs.run_due()
    assert (await _row(jobs, job_id))["summary"] == {"all": [[0, "one"], [1, "two"]], "behind 0": ["two"]}


async def _upload(jobs: Background, job_id: UUID, *parts: bytes, age_seconds: int = 0) -> None:
    await jobs.pool.executemany(
        "INSERT INTO job_parts VALUES ($1, 0, $2, $3, now() - $4 * interval '1 second')",
        [(job_id, part, data, age_seconds) for part, data in enumerate(parts)],
    )


async def test_tidying_leaves_what_somebody_may_want(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    waiting, fresh, old, nobodys, new = [await jobs.request("report", {}) for _ in range(3)] + [
        jobs.floor.new_id() for _ in range(2)
    ]
    await _upload(jobs, waiting, b"to be read", age_seconds=10_000)
    await _upload(jobs, fresh, b"was read")
    await _upload(jobs, nobodys, b"was never asked for", age_seconds=10_000)
    await _upload(jobs, new, b"is about to be asked for")
    await jobs.pool.execute("UPDATE tasks SET due_at = 'infinity' WHERE subject = $1", str(waiting))
    await jobs.run_due()
    for job_id in (fresh, old):
        await jobs.pool.execute("INSERT INTO job_rows VALUES ($1, 1, 'x', 'x', '{}', 'rejected')", job_id)
    await jobs.pool.execute("UPDATE jobs SET updated_at = now() - interval '2 hours' WHERE id = $1", old)
    await store.tidy(jobs.pool, 3_600)
    left = {(row["job_id"], row["run"]) for row in await jobs.pool.fetch("SELECT job_id, run FROM job_parts")}
    assert left == {(waiting, 0), (fresh, 1), (new, 0)}
    assert [row["job_id"] for row in await jobs.pool.fetch("SELECT job_id FROM job_rows")] == [fresh]
