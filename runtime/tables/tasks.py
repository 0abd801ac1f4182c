"""The table of tasks: the transactional outbox. A row is written by the batch that writes its event, updated by the
background processes while the task runs, and deleted when it is done: by then the log has both its event and its
result.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from domain.tasks import TASK_DEAD, TASK_QUEUED
from runtime.tables.base import metadata, when

# `created_seq` is the event that created the task; with the id, it orders the tasks of one subject. `blocked` is
# whether there is an earlier one of the same subject. `runs` counts all runs, `attempts` those since the last headway.
# The lease is held by one run at a time.
tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("created_seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=TASK_QUEUED),
    Column("blocked", Boolean, nullable=False, server_default="false"),
    when("due_at"),
    Column("runs", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("lease_token", Uuid),
    when("lease_until", nullable=True),
    when("created_at"),
    when("updated_at"),
    # For claiming due tasks.
    Index("tasks_due", "kind", "due_at", postgresql_where=text(f"state = '{TASK_QUEUED}' AND NOT blocked")),
    # For the next task of a subject, and for the task of a job.
    Index("tasks_subject", "subject", "created_seq", "id"),
    # For the blocked tasks, of which there are few.
    Index("tasks_blocked", "subject", "created_seq", "id", postgresql_where=text("blocked")),
    Index("tasks_dead", "kind", "id", postgresql_where=text(f"state = '{TASK_DEAD}'")),
)
