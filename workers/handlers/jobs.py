"""What jobs are decided on. What changes is written as it is (see `runtime/nouns.py`)."""

from domain.jobs import FinishJob, Job, RequestJob
from workers.handlers import needs
from workers.rows import Needs


@needs(RequestJob)
@needs(FinishJob)
def _job(command: RequestJob | FinishJob, into: Needs) -> None:
    into.need(Job, command.job_id)
