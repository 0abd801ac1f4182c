"""Jobs: long-running work for staff (a report, an import), done by a background process. Each is requested once and
finished once.

Each is run as a task (see `domain/tasks.py`); which process runs it, and how far it is, is not part of the log. A job
changes the shop only through commands.
"""

from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Shop, decides, evolves
from domain.tasks import NewTask, schedules

REPORT: Final = "report"
IMPORT: Final = "import"
JOB_KINDS: Final = (REPORT, IMPORT)

QUEUED: Final = "queued"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"


class Job(Entity, frozen=True):
    """A job. `params` is what was requested and `summary` the result; both are JSON objects. `run` is the number of the
    run that finished it, 0 if none has."""

    id: UUID
    kind: str
    params: dict[str, Any]
    requested_by: str
    status: str
    run: int
    summary: dict[str, Any]

    def slot(self) -> int:
        return slot_of_id(self.id)


class RequestJob(Command, frozen=True):
    job_id: UUID
    kind: str
    params: dict[str, Any]

    def slot(self) -> int:
        return slot_of_id(self.job_id)

    def __post_init__(self) -> None:
        if self.kind not in JOB_KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of job")


class FinishJob(Command, frozen=True):
    """The result of the job's `run`-th run; the first one counts."""

    job_id: UUID
    status: str
    run: Annotated[int, msgspec.Meta(ge=0)]
    summary: dict[str, Any]

    def slot(self) -> int:
        return slot_of_id(self.job_id)

    def __post_init__(self) -> None:
        if self.status not in (SUCCEEDED, FAILED):
            raise ValueError(f"{self.status!r} is not a final status of a job")


class JobRequested(Event, frozen=True):
    type: ClassVar[str] = "job.requested"
    job_id: UUID
    kind: str
    params: dict[str, Any]
    requested_by: str

    def subject(self) -> str:
        return str(self.job_id)


class JobFinished(Event, frozen=True):
    type: ClassVar[str] = "job.finished"
    job_id: UUID
    kind: str
    requested_by: str
    status: str
    run: int
    summary: dict[str, Any]

    def subject(self) -> str:
        return str(self.job_id)


@decides(RequestJob)
def _request(shop: Shop, command: RequestJob, context: Context) -> Decision:
    if command.job_id in shop.of(Job):
        raise ValueError("a job is requested once: its id is taken")
    return (JobRequested(command.job_id, command.kind, command.params, context.actor.principal),)


@decides(FinishJob)
def _finish(shop: Shop, command: FinishJob, context: Context) -> Decision:
    job = shop.of(Job).get(command.job_id)
    if job is None:
        return Rejection("job_not_found", "There is no such job.", {"job_id": str(command.job_id)})
    if job.status != QUEUED:
        return Rejection("job_finished", "The job has already finished.", {"job_id": str(job.id)})
    return (JobFinished(job.id, job.kind, job.requested_by, command.status, command.run, command.summary),)


@evolves(JobRequested)
def _requested(shop: Shop, event: JobRequested) -> None:
    shop.of(Job)[event.job_id] = Job(event.job_id, event.kind, event.params, event.requested_by, QUEUED, 0, {})


@schedules(JobRequested)
def _is_done_by_a_task(event: JobRequested) -> tuple[NewTask]:
    return (NewTask(event.kind, str(event.job_id)),)


@evolves(JobFinished)
def _finished(shop: Shop, event: JobFinished) -> None:
    if job := shop.of(Job).get(event.job_id):
        shop.of(Job)[job.id] = msgspec.structs.replace(job, status=event.status, run=event.run, summary=event.summary)
