"""What commands about jobs are decided on. Jobs are written whole (see `runtime/entities.py`)."""

from domain.jobs import FinishJob, Job, RequestJob
from workers.handlers import reads
from workers.loading import ReadSet


@reads(RequestJob)
@reads(FinishJob)
def _job(command: RequestJob | FinishJob, into: ReadSet) -> None:
    into.add(Job, command.job_id)
