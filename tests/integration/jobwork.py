"""What jobs do in tests, and how tests look at them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from tests.integration.background import Background
from workers.jobs.kinds import Job, Tools
from workers.tasks.queue import Task

DoJob = Callable[[Job, Tools], Awaitable[dict[str, Any]]]


class Gate:
    """A job that pauses in the middle of its work until it may continue."""

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


async def plain(job: Job, tools: Tools) -> dict[str, Any]:
    await tools.result.write(json.dumps(job.params).encode())
    tools.progress(3, 3)
    return {"done": True}


async def row_of(jobs: Background, job_id: UUID) -> dict[str, Any]:
    row = await jobs.row(job_id)
    assert row is not None
    return {**row, "summary": json.loads(row["summary"])}


async def claim(jobs: Background, job_id: UUID) -> Task:
    """Takes the job's task, as a process that dies right afterwards would."""
    (task,) = await jobs.queue.claim(["report"], 1)
    assert task.subject == str(job_id)
    return task
