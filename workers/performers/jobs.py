"""Jobs as tasks: a job of any kind is run, and its result is recorded in the log once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.jobs import FAILED, JOB_KINDS, SUCCEEDED, FinishJob
from workers.jobs import store
from workers.jobs.kinds import KINDS, JobFailed, Tools
from workers.tasks.kinds import JOBS, TaskTools, performs
from workers.tasks.queue import Task


async def _give_up(task: Task, tools: TaskTools) -> FinishJob:
    times = tools.config.task_attempts_max
    return _failed(task, "job_gave_up", f"It was interrupted {times} times in a row.")


async def _perform(task: Task, tools: TaskTools) -> FinishJob | None:
    """Runs the job, saving its progress whenever the lease is renewed."""
    job = await store.find(tools.pool, UUID(task.subject), task)
    if job is None:
        return None
    work = Tools(job, task, tools.pool, tools.sender, tools.config)
    tools.renewed = work.save_progress
    try:
        summary = await KINDS[job.kind](job, work)
        await work.result.close()
    except JobFailed as failed:
        await work.save_progress()
        return _failed(task, failed.code, failed.detail)
    # Saves the last progress, and raises if the lease has been lost.
    await work.save_progress()
    return FinishJob(job.id, SUCCEEDED, job.run, summary)


def _failed(task: Task, code: str, detail: str) -> FinishJob:
    summary: dict[str, Any] = {"code": code, "detail": detail}
    return FinishJob(UUID(task.subject), FAILED, task.run, summary)


for _kind in JOB_KINDS:
    performs(_kind, lane=JOBS, give_up=_give_up)(_perform)
