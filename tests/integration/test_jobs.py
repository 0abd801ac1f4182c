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
from workers.jobs import leases
from workers.jobs.core import KINDS, Job, JobFailed, Tools, WorkersAway

_Do = Callable[[Job, Tools], Awaitable[dict[str, Any]]]


@pytest.fixture
async def jobs(floor: Shopfloor) -> AsyncIterator[Background]:
    async with background(floor, job_lease_seconds=30, job_max_attempts=3) as running:
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


async def _expire_lease(jobs: Background, job_id: UUID) -> None:
    """What time does to the lease of a process that is dead or stands still."""
    await jobs.pool.execute("UPDATE jobs SET lease_until = now() WHERE id = $1", job_id)


async def _retry_now(jobs: Background, job_id: UUID) -> None:
    await jobs.pool.execute("UPDATE jobs SET due_at = now() WHERE id = $1", job_id)


async def test_a_job_is_found_done_and_finished_once(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    job_id = await jobs.request("report", {"a": 1})
    first, second = jobs.runner(), jobs.runner()
    await first.tend()
    assert jobs.asked == [job_id]
    await asyncio.gather(first.run(job_id), second.run(job_id), first.run(job_id))
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"], row["leases"], row["summary"]) == ("succeeded", 1, 1, {"done": True})
    assert (row["progress_done"], row["progress_total"]) == (3, 3)
    assert await jobs.result(job_id) == b'{"a": 1}'
    assert await jobs.finishes(job_id) == 1
    await first.run(job_id)
    jobs.asked.clear()
    await first.tend()
    assert jobs.asked == []
    assert (await _row(jobs, job_id))["leases"] == 1
    await jobs.floor.verified()


async def test_what_a_dead_process_had_is_done_by_another(jobs: Background, does: Callable[[_Do], None]) -> None:
    does(_plain)
    job_id = await jobs.request("report", {})
    dead = await leases.take(jobs.pool, job_id, 30)
    assert dead is not None
    await leases.keep_part(jobs.pool, dead, 0, b"half of it")
    assert await leases.due(jobs.pool, 10) == []
    await jobs.runner().run(job_id)
    assert (await _row(jobs, job_id))["status"] == "queued", "it is taken while the lease runs"
    await _expire_lease(jobs, job_id)
    assert await leases.due(jobs.pool, 10) == [job_id]
    await jobs.runner().run(job_id)
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"]) == ("succeeded", 2)
    assert await jobs.result(job_id) == b"{}"
    assert await jobs.finishes(job_id) == 1


async def test_whoever_stood_still_for_too_long_learns_of_it_and_harms_nobody(
    floor: Shopfloor, does: Callable[[_Do], None]
) -> None:
    gate = Gate()
    does(gate)
    async with background(floor, job_lease_seconds=1) as jobs:
        job_id = await jobs.request("report", {})
        slow = asyncio.create_task(jobs.runner().run(job_id))
        await gate.begun.wait()
        gate.begun.clear()
        await _expire_lease(jobs, job_id)
        fast = asyncio.create_task(jobs.runner().run(job_id))
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
    running = asyncio.create_task(jobs.runner().run(job_id))
    await gate.begun.wait()
    # Another run, long believed dead, had sent its word just before it lost its lease.
    stale = Job(job_id, "report", {}, STAFF.principal, 7, 1, None, 0, None)
    await leases.keep_part(jobs.pool, stale, 0, b"the other's")
    await jobs.floor.post(
        FinishJob(job_id, "succeeded", 7, {"run": 7}), actor=STAFF, key=f"job:{job_id}:finish", fingerprint=b""
    )

    async def finished() -> bool:
        return bool((await _row(jobs, job_id))["status"] == "succeeded")

    await until(finished)
    gate.open.set()
    await running
    assert (await _row(jobs, job_id))["summary"] == {"run": 7}
    assert await jobs.result(job_id) == b"the other's"
    assert await jobs.finishes(job_id) == 1


async def test_what_breaks_off_is_tried_again_but_not_for_ever(jobs: Background, does: Callable[[_Do], None]) -> None:
    attempts = []

    async def breaks(job: Job, tools: Tools) -> dict[str, Any]:
        attempts.append(job.attempts)
        raise RuntimeError("secret particulars")

    does(breaks)
    job_id = await jobs.request("report", {})
    runner = jobs.runner()
    waits = []
    for _ in range(4):
        await runner.run(job_id)
        assert await leases.due(jobs.pool, 10) == []
        waits.append(
            await jobs.pool.fetchval(
                "SELECT extract(epoch FROM due_at - now())::float8 FROM jobs WHERE id = $1", job_id
            )
        )
        await _retry_now(jobs, job_id)
    assert attempts == [1, 2, 3]
    assert waits[0] < waits[1] < waits[2], "each wait is longer than the one before"
    row = await _row(jobs, job_id)
    assert row["status"] == "failed"
    assert row["summary"] == {"code": "job_gave_up", "detail": "It broke off 3 times in a row."}
    assert await jobs.finishes(job_id) == 1


@pytest.mark.parametrize("away", [MailboxesUnavailable(), MailboxFull(), WorkersAway()], ids=repr)
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
        await jobs.runner().run(job_id)
        await _retry_now(jobs, job_id)
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
        await jobs.runner().run(job_id)
        await _retry_now(jobs, job_id)
    assert seen[0] == (1, 0, None)
    assert [checkpoint["done"] for _, _, checkpoint in seen[1:]] == [1, 2, 3, 4, 5, 6]
    assert {attempts for attempts, _, _ in seen[1:]} == {2}, "headway makes up for having broken off"
    row = await _row(jobs, job_id)
    assert (row["status"], row["run"], row["summary"]) == ("succeeded", 7, {"done": 6})


async def test_a_lost_lease_shows_at_the_next_checkpoint(jobs: Background, does: Callable[[_Do], None]) -> None:
    job_id = await jobs.request("report", {})
    mine = await leases.take(jobs.pool, job_id, 30)
    assert mine is not None
    await _expire_lease(jobs, job_id)
    assert await leases.take(jobs.pool, job_id, 30) is not None
    with pytest.raises(leases.LeaseLost):
        await leases.save(jobs.pool, mine, "{}", 0, None)


async def test_what_can_never_be_done_fails_at_once(jobs: Background, does: Callable[[_Do], None]) -> None:
    async def refuses(job: Job, tools: Tools) -> dict[str, Any]:
        raise JobFailed("no_such_thing", "There is no such thing.")

    does(refuses)
    job_id = await jobs.request("report", {})
    await jobs.runner().run(job_id)
    row = await _row(jobs, job_id)
    assert (row["status"], row["leases"]) == ("failed", 1)
    assert row["summary"] == {"code": "no_such_thing", "detail": "There is no such thing."}


async def test_a_result_has_a_bound(floor: Shopfloor, does: Callable[[_Do], None]) -> None:
    async def writes(job: Job, tools: Tools) -> dict[str, Any]:
        for _ in range(3):
            await tools.result.write(b"x" * PART_BYTES)
        return {}

    does(writes)
    async with background(floor, job_result_max_bytes=2 * PART_BYTES) as jobs:
        job_id = await jobs.request("report", {})
        await jobs.runner().run(job_id)
        assert (await _row(jobs, job_id))["summary"]["code"] == "result_too_large"


async def test_a_process_that_ends_gives_its_jobs_back(jobs: Background, does: Callable[[_Do], None]) -> None:
    gate = Gate()
    does(gate)
    job_id = await jobs.request("report", {})
    runner = jobs.runner()
    running = asyncio.create_task(runner.run(job_id))
    await gate.begun.wait()
    await runner.stop()
    await running
    assert await leases.due(jobs.pool, 10) == [job_id], "at once, and not when the lease runs out"
    assert (await _row(jobs, job_id))["attempts"] == 0
    gate.open.set()
    await jobs.runner().run(job_id)
    assert (await _row(jobs, job_id))["summary"] == {"run": 2}


async def test_only_so_many_at_a_time(floor: Shopfloor, does: Callable[[_Do], None]) -> None:
    gate = Gate()
    does(gate)
    async with background(floor, job_concurrency=2) as jobs:
        asked = [await jobs.request("report", {}) for _ in range(3)]
        runner = jobs.runner()
        running = [asyncio.create_task(runner.run(job_id)) for job_id in asked]

        async def two_begun() -> bool:
            return len(gate.runs) == 2

        await until(two_begun)
        assert await leases.due(jobs.pool, 10) == [asked[2]]
        await running[2]  # no hand was free
        gate.open.set()
        await asyncio.gather(*running)
        assert jobs.asked[-1] == asked[2], "whoever has a hand free asks for the next at once"
        await runner.run(asked[2])
        assert [(await _row(jobs, job_id))["status"] for job_id in asked] == ["succeeded"] * 3


async def test_what_was_uploaded_is_read_part_by_part(jobs: Background, does: Callable[[_Do], None]) -> None:
    async def reads(job: Job, tools: Tools) -> dict[str, Any]:
        every = [(part, data.decode()) async for part, data in tools.upload()]
        return {"all": every, "behind 0": [data.decode() async for _, data in tools.upload(after_part=0)]}

    does(reads)
    job_id = await jobs.request("report", {})
    await _upload(jobs, job_id, b"one", b"two")
    await jobs.runner().run(job_id)
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
    for job_id in (fresh, old):
        await jobs.runner().run(job_id)
        await jobs.pool.execute("INSERT INTO job_rows VALUES ($1, 1, 'x', 'x', '{}', 'rejected')", job_id)
    await jobs.pool.execute("UPDATE jobs SET updated_at = now() - interval '2 hours' WHERE id = $1", old)
    await leases.tidy(jobs.pool, 3_600)
    left = {(row["job_id"], row["run"]) for row in await jobs.pool.fetch("SELECT job_id, run FROM job_parts")}
    assert left == {(waiting, 0), (fresh, 1), (new, 0)}
    assert [row["job_id"] for row in await jobs.pool.fetch("SELECT job_id FROM job_rows")] == [fresh]
