"""Tasks that staff retry. Tasks are not part of the state that commands are decided on."""

from domain.tasks import RetryTask, TaskRetried
from workers.handlers import reads, writes
from workers.loading import ReadSet
from workers.rows import Rows


@reads(RetryTask)
def _retry(command: RetryTask, into: ReadSet) -> None:
    """It needs no state."""


@writes(TaskRetried)
def _retried(event: TaskRetried, into: Rows) -> None:
    into.outbox.retry(event.task_id)
