"""What jobs keep: checkpoints, results and uploads, within bounds, and tidied up afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from runtime.tables.jobs import PART_BYTES
from tests.integration.background import Background, background
from tests.integration.jobwork import DoJob, claim, plain, row_of
from tests.integration.shopfloor import Shopfloor
from workers.jobs import store
from workers.jobs.kinds import Job, Tools
from workers.leases import LeaseLost


async def test_a_run_continues_from_the_last_one_s_checkpoint(jobs: Background, does: Callable[[DoJob], None]) -> None:
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
    assert {attempts for attempts, _, _ in seen[1:]} == {2}, "progress makes up for interruptions"
    row = await row_of(jobs, job_id)
    assert (row["status"], row["run"], row["summary"]) == ("succeeded", 7, {"done": 6})


async def test_a_lost_lease_shows_at_the_next_checkpoint(jobs: Background) -> None:
    job_id = await jobs.request("report", {})
    mine = await claim(jobs, job_id)
    await jobs.expire_leases()
    await claim(jobs, job_id)
    with pytest.raises(LeaseLost):
        await store.save_checkpoint(jobs.pool, mine, job_id, "{}", 0, None)
    with pytest.raises(LeaseLost):
        await store.save_progress(jobs.pool, mine, job_id, 0, None)


async def test_a_result_has_a_bound(floor: Shopfloor, does: Callable[[DoJob], None]) -> None:
    async def writes(job: Job, tools: Tools) -> dict[str, Any]:
        for _ in range(3):
            await tools.result.write(b"x" * PART_BYTES)
        return {}

    does(writes)
    async with background(floor, job_result_max_bytes=2 * PART_BYTES) as jobs:
        job_id = await jobs.request("report", {})
        await jobs.run_due()
        assert (await row_of(jobs, job_id))["summary"]["code"] == "result_too_large"


async def test_an_upload_is_read_part_by_part(jobs: Background, does: Callable[[DoJob], None]) -> None:
    async def reads(job: Job, tools: Tools) -> dict[str, Any]:
        every = [(part, data.decode()) async for part, data in tools.upload()]
        return {"all": every, "after 0": [data.decode() async for _, data in tools.upload(after_part=0)]}

    does(reads)
    job_id = await jobs.request("report", {})
    await _upload(jobs, job_id, b"one", b"two")
    await jobs.run_due()
    assert (await row_of(jobs, job_id))["summary"] == {"all": [[0, "one"], [1, "two"]], "after 0": ["two"]}


async def _upload(jobs: Background, job_id: UUID, *parts: bytes, age_seconds: int = 0) -> None:
    await jobs.pool.executemany(
        "INSERT INTO job_parts VALUES ($1, 0, $2, $3, now() - $4 * interval '1 second')",
        [(job_id, part, data, age_seconds) for part, data in enumerate(parts)],
    )


async def test_tidying_leaves_what_may_still_be_needed(jobs: Background, does: Callable[[DoJob], None]) -> None:
    does(plain)
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
