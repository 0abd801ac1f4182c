"""The outbox as batches write it: the tasks that their events lead to, and those that staff retry. One statement each,
however many there are, in the batch's own transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.model import Event
from domain.tasks import TASK_DEAD, TASK_QUEUED, NewTask, task_id, tasks_of
from runtime.database import Connection
from workers.inserts import Inserts
from workers.statements import Part

# Whether a task is due depends on Postgres's clock, not on the log's moments, which may be ahead of it.
#
# Batches write one after another, because they hold the event counter. So each sees every earlier task of a subject,
# except one that is just being finished: see `workers/tasks/queue.py`.
_INSERT = f"""
    INSERT INTO tasks (id, kind, subject, payload, created_seq, state, blocked, due_at, created_at, updated_at)
    SELECT v.id, v.kind, v.subject, v.payload::jsonb, p.first + v.seq, '{TASK_QUEUED}',
        v.follows OR EXISTS (SELECT FROM tasks t WHERE t.subject = v.subject),
        now() + v.after_seconds * interval '1 second', p.at, p.at
    FROM places p, unnest({{0}}::uuid[], {{1}}::text[], {{2}}::text[], {{3}}::text[], {{4}}::bigint[], {{5}}::bool[],
        {{6}}::float8[]) AS v (id, kind, subject, payload, seq, follows, after_seconds)
"""  # noqa: S608 - constants of ours

_RETRY = f"""
    UPDATE tasks SET state = '{TASK_QUEUED}', attempts = 0, due_at = now(), updated_at = $1
    WHERE id = ANY($2::uuid[]) AND state = '{TASK_DEAD}'
"""  # noqa: S608 - constants of ours


class _Row(NamedTuple):
    id: UUID
    task: NewTask
    place: int


class Outbox:
    """The tasks of one batch."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._numbers: dict[UUID, int] = {}
        self._retried: list[UUID] = []

    def schedule(self, event: Event, command_id: UUID, place: int) -> None:
        """Adds the tasks that an event leads to; `command_id` is its command, `place` its place in the batch."""
        for task in tasks_of(event):
            number = self._numbers.get(command_id, 0)
            self._numbers[command_id] = number + 1
            self._rows.append(_Row(task_id(command_id, number), task, place))

    def retry(self, dead_id: UUID) -> None:
        """Retries a dead task."""
        self._retried.append(dead_id)

    @property
    def retries(self) -> bool:
        """Whether a dead task is to be retried."""
        return bool(self._retried)

    async def write(self, connection: Connection, at: datetime) -> None:
        """Writes everything except new tasks."""
        if self._retried:
            await connection.execute(_RETRY, at, self._retried)

    def add(self, inserts: Inserts, first_seq: int) -> None:
        """Adds the new tasks. The batch's first event has `first_seq`; the event counter must be held."""
        if self._rows:
            inserts.add_part(Part("added_to_tasks", _INSERT, list(zip(*self._records(first_seq), strict=True))))

    def _records(self, first_seq: int) -> Iterable[tuple[Any, ...]]:
        subjects: set[str] = set()
        for row in self._rows:
            task = row.task
            follows = task.subject in subjects
            subjects.add(task.subject)
            payload = msgspec.json.encode(task.payload).decode()
            yield row.id, task.kind, task.subject, payload, first_seq + row.place, follows, task.after_seconds
