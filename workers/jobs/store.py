"""What jobs keep in Postgres besides their tasks: how far each has come, and the bytes that go in and come out. A run
writes a job's result under its own number, so a run that has lost its lease does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain.jobs import FAILED, QUEUED, SUCCEEDED
from workers.leases import must_hold
from workers.tasks.queue import Task

# How long, at least, an upload may take before its job is requested.
_UPLOADING_SECONDS: Final = 7_200
# For one statement that tidies up: about 50 MB.
_TIDIED_AT_ONCE: Final = 200


class Job(msgspec.Struct, frozen=True):
    """A job in its `run`-th run, which is the `attempts`-th since it last made headway. `checkpoint` is what an earlier
    run saved for this one."""

    id: UUID
    kind: str
    params: dict[str, Any]
    requested_by: str
    run: int
    attempts: int
    checkpoint: dict[str, Any] | None
    progress_done: int
    progress_total: int | None


async def find(pool: asyncpg.Pool[Any], job_id: UUID, task: Task) -> Job | None:
    """The job for this run of its task; None if it is finished."""
    row = await pool.fetchrow(
        f"""
        SELECT j.kind, j.params, j.requested_by, p.checkpoint, coalesce(p.done, 0) AS done, p.total
        FROM jobs j LEFT JOIN job_progress p ON p.job_id = j.id WHERE j.id = $1 AND j.status = '{QUEUED}'
        """,  # noqa: S608 - a constant of ours
        job_id,
    )
    if row is None:
        return None
    kind, params, requested_by, checkpoint, done, total = row
    return Job(
        job_id,
        kind,
        msgspec.json.decode(params),
        requested_by,
        task.run,
        task.attempts,
        None if checkpoint is None else msgspec.json.decode(checkpoint),
        done,
        total,
    )


# Only for the run that holds the task's lease.
_SAVE_PROGRESS: Final = """
    INSERT INTO job_progress AS p (job_id, done, total)
    SELECT $3, $4::bigint, $5::bigint FROM tasks WHERE id = $1 AND lease_token = $2
    ON CONFLICT (job_id) DO UPDATE SET done = excluded.done, total = excluded.total
"""
_SAVE_CHECKPOINT: Final = """
    WITH held AS (UPDATE tasks SET attempts = 1 WHERE id = $1 AND lease_token = $2 RETURNING id)
    INSERT INTO job_progress AS p (job_id, done, total, checkpoint)
    SELECT $3, $4::bigint, $5::bigint, $6::jsonb FROM held
    ON CONFLICT (job_id) DO UPDATE SET done = excluded.done, total = excluded.total, checkpoint = excluded.checkpoint
"""


async def save_progress(pool: asyncpg.Pool[Any], task: Task, job_id: UUID, done: int, total: int | None) -> None:
    """Saves how far the job has come. Raises LeaseLost."""
    must_hold(await pool.execute(_SAVE_PROGRESS, task.id, task.token, job_id, done, total), job_id)


async def save_checkpoint(
    pool: asyncpg.Pool[Any], task: Task, job_id: UUID, checkpoint: str, done: int, total: int | None
) -> None:
    """Saves a checkpoint (JSON); the job has made headway. Raises LeaseLost."""
    must_hold(await pool.execute(_SAVE_CHECKPOINT, task.id, task.token, job_id, done, total, checkpoint), job_id)


async def keep_part(pool: asyncpg.Pool[Any], job: Job, part: int, data: bytes) -> None:
    """Stores a part of a run's result."""
    await pool.execute(
        "INSERT INTO job_parts (job_id, run, part, data, created_at) VALUES ($1, $2, $3, $4, now())",
        job.id,
        job.run,
        part,
        data,
    )


async def next_part(pool: asyncpg.Pool[Any], job_id: UUID, run: int, after_part: int) -> tuple[int, bytes] | None:
    """The first part after `after_part`."""
    row = await pool.fetchrow(
        "SELECT part, data FROM job_parts WHERE job_id = $1 AND run = $2 AND part > $3 ORDER BY part LIMIT 1",
        job_id,
        run,
        after_part,
    )
    return None if row is None else (row["part"], row["data"])


# What finished jobs leave: expired results, uploads, and the results of other runs. Also uploads for which no job was
# requested.
_PARTS: Final = f"""
    DELETE FROM job_parts WHERE (job_id, run, part) IN (
        SELECT p.job_id, p.run, p.part FROM job_parts p LEFT JOIN jobs j ON j.id = p.job_id
        WHERE CASE
            WHEN j.id IS NULL THEN p.created_at < now() - greatest($1, {_UPLOADING_SECONDS}) * interval '1 second'
            WHEN j.status = '{QUEUED}' THEN false
            ELSE j.status = '{FAILED}' OR p.run <> j.run OR j.updated_at < now() - $1 * interval '1 second'
        END
        LIMIT {_TIDIED_AT_ONCE}
    )
"""  # noqa: S608 - constants of ours
_ROWS: Final = f"""
    DELETE FROM job_rows WHERE (job_id, line) IN (
        SELECT r.job_id, r.line FROM job_rows r JOIN jobs j ON j.id = r.job_id
        WHERE j.status <> '{QUEUED}' AND j.updated_at < now() - $1 * interval '1 second'
        LIMIT {100 * _TIDIED_AT_ONCE}
    )
"""  # noqa: S608 - constants of ours
# The summary says everything that the checkpoint said. For a failed job, the checkpoint is the only record of how far
# it came.
_PROGRESS: Final = f"""
    DELETE FROM job_progress WHERE job_id IN (
        SELECT p.job_id FROM job_progress p JOIN jobs j ON j.id = p.job_id
        WHERE j.status = '{SUCCEEDED}' AND j.updated_at < now() - $1 * interval '1 second'
        LIMIT {_TIDIED_AT_ONCE}
    )
"""  # noqa: S608 - constants of ours
_TIDYING: Final[Sequence[str]] = (_PARTS, _ROWS, _PROGRESS)


async def tidy(pool: asyncpg.Pool[Any], kept_seconds: float) -> None:
    """Deletes what nobody needs any more, a little at a time; what jobs leave is kept for `kept_seconds`."""
    for statement in _TIDYING:
        while await pool.execute(statement, kept_seconds) != "DELETE 0":
            pass
