"""What jobs keep in Postgres: who is at work on which, how far it is, and the bytes that go in and come out.

A lease is a number, one more for each run, and a time until which nobody else may begin another. A run that has lost
its lease is told at its next write, and harms nobody: what it wrote stands under its own number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain.jobs import FAILED, QUEUED

# So long, at least, a file may be on its way before its job is requested.
_UPLOADING_SECONDS: Final = 7_200
# Of one statement that tidies up: some 50 MB.
_TIDIED_AT_ONCE: Final = 200


class LeaseLost(Exception):
    """Another run has the job, or it is finished."""


class Job(msgspec.Struct, frozen=True):
    """A job in the hands of its `run`-th run, which is the `attempts`-th since the last headway. `checkpoint` is what
    an earlier run kept for this one."""

    id: UUID
    kind: str
    params: dict[str, Any]
    requested_by: str
    run: int
    attempts: int
    checkpoint: dict[str, Any] | None
    progress_done: int
    progress_total: int | None


async def due(pool: asyncpg.Pool[Any], limit: int) -> list[UUID]:
    """The jobs that somebody should be at work on, those asked for first before the others."""
    rows = await pool.fetch(
        f"""
        SELECT id FROM jobs WHERE status = '{QUEUED}'
            AND (lease_until IS NULL OR lease_until <= now()) AND (due_at IS NULL OR due_at <= now())
        ORDER BY id LIMIT $1
        """,  # noqa: S608 - a constant of ours
        limit,
    )
    return [UUID(int=row["id"].int) for row in rows]


async def take(pool: asyncpg.Pool[Any], job_id: UUID, seconds: float) -> Job | None:
    """The job for a new run, for so long; None if it is not to be had."""
    row = await pool.fetchrow(
        f"""
        UPDATE jobs SET leases = leases + 1, attempts = attempts + 1, lease_until = now() + $2 * interval '1 second'
        WHERE id = $1 AND status = '{QUEUED}'
            AND (lease_until IS NULL OR lease_until <= now()) AND (due_at IS NULL OR due_at <= now())
        RETURNING kind, params, requested_by, leases, attempts, checkpoint, progress_done, progress_total
        """,  # noqa: S608 - a constant of ours
        job_id,
        seconds,
    )
    if row is None:
        return None
    kind, params, requested_by, run, attempts, checkpoint, done, total = row
    return Job(
        job_id,
        kind,
        msgspec.json.decode(params),
        requested_by,
        run,
        attempts,
        None if checkpoint is None else msgspec.json.decode(checkpoint),
        done,
        total,
    )


async def renew(pool: asyncpg.Pool[Any], job: Job, seconds: float, done: int, total: int | None) -> None:
    """Keeps the job for so long from now, and notes its progress. Raises LeaseLost."""
    _held(
        await pool.execute(
            f"""
            UPDATE jobs SET lease_until = now() + $3 * interval '1 second', progress_done = $4, progress_total = $5
            WHERE id = $1 AND leases = $2 AND status = '{QUEUED}'
            """,  # noqa: S608 - a constant of ours
            job.id,
            job.run,
            seconds,
            done,
            total,
        )
    )


async def save(pool: asyncpg.Pool[Any], job: Job, checkpoint: str, done: int, total: int | None) -> None:
    """Keeps a checkpoint (JSON); the job has made headway. Raises LeaseLost."""
    _held(
        await pool.execute(
            f"""
            UPDATE jobs SET checkpoint = $3::jsonb, attempts = 1, progress_done = $4, progress_total = $5
            WHERE id = $1 AND leases = $2 AND status = '{QUEUED}'
            """,  # noqa: S608 - a constant of ours
            job.id,
            job.run,
            checkpoint,
            done,
            total,
        )
    )


async def let_go(pool: asyncpg.Pool[Any], job: Job, *, after_seconds: float, attempted: bool) -> None:
    """Leaves the job to another run, `after_seconds` from now; one that was not `attempted` does not count."""
    await pool.execute(
        """
        UPDATE jobs SET lease_until = NULL, due_at = now() + $3 * interval '1 second', attempts = attempts - $4
        WHERE id = $1 AND leases = $2
        """,
        job.id,
        job.run,
        after_seconds,
        0 if attempted else 1,
    )


def _held(done: str) -> None:
    if done != "UPDATE 1":
        raise LeaseLost


async def keep_part(pool: asyncpg.Pool[Any], job: Job, part: int, data: bytes) -> None:
    """Keeps a part of what a run makes."""
    await pool.execute(
        "INSERT INTO job_parts (job_id, run, part, data, created_at) VALUES ($1, $2, $3, $4, now())",
        job.id,
        job.run,
        part,
        data,
    )


async def next_part(pool: asyncpg.Pool[Any], job_id: UUID, run: int, after_part: int) -> tuple[int, bytes] | None:
    """The first part behind `after_part`."""
    row = await pool.fetchrow(
        "SELECT part, data FROM job_parts WHERE job_id = $1 AND run = $2 AND part > $3 ORDER BY part LIMIT 1",
        job_id,
        run,
        after_part,
    )
    return None if row is None else (row["part"], row["data"])


# What a finished job leaves: its result until that expires, and nothing of its uploads and other runs. And uploads that
# no job was requested for.
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
_TIDYING: Final[Sequence[str]] = (_PARTS, _ROWS)


async def tidy(pool: asyncpg.Pool[Any], kept_seconds: float) -> None:
    """Deletes what nobody needs any more, a little at a time; what jobs leave is kept for `kept_seconds`."""
    for statement in _TIDYING:
        while await pool.execute(statement, kept_seconds) != "DELETE 0":
            pass
