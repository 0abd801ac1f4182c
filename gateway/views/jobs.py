"""Jobs as the API shows them, whatever their kind: whose they are, how far, how they ended, and until when their result
is kept. A kind's own view adds what was asked for and what came of it.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.jobs import QUEUED, SUCCEEDED
from gateway.web.pages import newest_first
from runtime.tables import job_parts, job_progress, jobs, tasks

Status = Literal["queued", "running", "succeeded", "failed"]

_RUNNING: Final = "running"


class FailureView(BaseModel):
    """Why a job failed; `code` is stable."""

    code: str
    detail: str


class JobView(BaseModel):
    """A job. `progress` is the part done, from 0 to 1; `attempts` counts the runs that were started."""

    id: UUID
    status: Status
    progress: float = Field(ge=0, le=1)
    attempts: int
    requested_at: datetime
    finished_at: datetime | None = None
    failure: FailureView | None = None


class JobRow(NamedTuple):
    """A job as it stands; `running` is whether somebody is at it."""

    id: UUID
    kind: str
    params: dict[str, Any]
    requested_by: str
    status: str
    run: int
    summary: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    runs: int
    progress_done: int
    progress_total: int | None
    checkpoint: dict[str, Any] | None
    running: bool
    now: datetime

    @property
    def succeeded(self) -> bool:
        return self.status == SUCCEEDED

    @property
    def finished(self) -> bool:
        return self.status != QUEUED

    def expires_at(self, kept_seconds: int) -> datetime:
        """When the result goes; only for a finished job."""
        return self.updated_at + timedelta(seconds=kept_seconds)

    def common(self) -> dict[str, Any]:
        """The fields of JobView."""
        failed = self.finished and not self.succeeded
        total = self.progress_total
        done = 1.0 if self.succeeded else min(1.0, self.progress_done / total) if total else 0.0
        return {
            "id": self.id,
            "status": _RUNNING if self.running else self.status,
            "progress": round(done, 4),
            "attempts": self.run if self.finished else self.runs,
            "requested_at": self.created_at,
            "finished_at": self.updated_at if self.finished else None,
            "failure": FailureView(code=self.summary["code"], detail=self.summary["detail"]) if failed else None,
        }


_JOBS: Final[sa.Select[Any]] = (
    sa.select(
        *(jobs.c[name] for name in JobRow._fields if name in jobs.c),
        sa.func.coalesce(tasks.c.runs, 0),
        sa.func.coalesce(job_progress.c.done, 0),
        job_progress.c.total,
        job_progress.c.checkpoint,
        sa.and_(jobs.c.status == QUEUED, sa.func.coalesce(tasks.c.lease_until > sa.func.now(), sa.false())),
        sa.func.now(),
    )
    .outerjoin(tasks, sa.and_(tasks.c.subject == sa.cast(jobs.c.id, sa.Text), tasks.c.kind == jobs.c.kind))
    .outerjoin(job_progress, job_progress.c.job_id == jobs.c.id)
)


async def find(connection: AsyncConnection, kind: str, job_id: UUID, owner: str | None) -> JobRow | None:
    """The job, if it is of this kind and was asked for by `owner`, if one is given."""
    query = _JOBS.where(jobs.c.id == job_id, jobs.c.kind == kind)
    if owner is not None:
        query = query.where(jobs.c.requested_by == owner)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else JobRow(*row)


async def newest(connection: AsyncConnection, kind: str, owner: str, cursor: str | None, limit: int) -> list[JobRow]:
    """The owner's jobs of a kind, newest first, and one more than `limit` if there are more."""
    query = _JOBS.where(jobs.c.requested_by == owner, jobs.c.kind == kind)
    query = newest_first(query, jobs, cursor, limit)
    return [JobRow(*row) for row in await connection.execute(query)]


async def unfinished(connection: AsyncConnection, owner: str) -> int:
    """How many of the owner's jobs are not done yet."""
    query = sa.select(sa.func.count()).where(jobs.c.status == QUEUED, jobs.c.requested_by == owner)
    return int((await connection.execute(query)).scalar_one())


async def result(engine: AsyncEngine, job: JobRow) -> AsyncIterator[bytes]:
    """The parts of a job's result, in order. No connection is held while a part is on its way to a slow reader."""
    query = (
        sa.select(job_parts.c.part, job_parts.c.data)
        .where(job_parts.c.job_id == job.id, job_parts.c.run == job.run, job_parts.c.part > sa.bindparam("after"))
        .order_by(job_parts.c.part)
        .limit(1)
    )
    after = -1
    while True:
        async with engine.connect() as connection:
            row = (await connection.execute(query, {"after": after})).one_or_none()
        if row is None:
            return
        after, data = row
        yield data
