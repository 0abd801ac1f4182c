"""The background processes' side of the outbox. Each method is one statement; concurrent calls of `finish` share one.

Only the oldest task of a subject may be taken: the others are written as `blocked`, and finishing a task unblocks the
next one. A task that is written while its predecessor is being finished may stay blocked, until `unblock` finds it. A
dead task blocks its subject until it is retried and done; so does one that waits for its next attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain.tasks import TASK_DEAD, TASK_QUEUED
from workers.failures import ERROR_MAX_CHARS
from workers.leases import FREE, RELEASED, LeaseLost, must_hold
from workers.tasks.finishing import Finisher


class Task(msgspec.Struct, frozen=True):
    """A task in its `run`-th run, which is the `attempts`-th since it last made headway. External services recognise a
    repetition by the `id`."""

    id: UUID
    kind: str
    subject: str
    payload: dict[str, Any]
    created_seq: int
    run: int
    attempts: int
    token: UUID


_WAITED_SECONDS: Final = "SELECT extract(epoch FROM now() - created_at)::float8 FROM tasks WHERE id = $1"

# The inner query locks up to `limit` tasks of each kind, more than are taken; the locks end with the statement.
_CLAIM: Final = f"""
    WITH due AS MATERIALIZED (
        SELECT t.id FROM unnest($1::text[]) AS k (kind) CROSS JOIN LATERAL (
            SELECT id, due_at FROM tasks
            WHERE kind = k.kind AND state = '{TASK_QUEUED}' AND NOT blocked AND due_at <= now() AND {FREE}
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) t ORDER BY t.due_at LIMIT $2
    )
    UPDATE tasks t SET lease_token = gen_random_uuid(), lease_until = now() + $3 * interval '1 second',
        runs = runs + 1, attempts = attempts + 1
    FROM due WHERE t.id = due.id
    RETURNING t.id, t.kind, t.subject, t.payload::text, t.created_seq, t.runs, t.attempts, t.lease_token
"""  # noqa: S608 - constants of ours

# Locks tasks in order of their ids, like finishing them does (see `workers/tasks/finishing.py`).
_UNBLOCK: Final = """
    WITH free AS MATERIALIZED (
        SELECT id FROM tasks WHERE id IN (
            SELECT first.id FROM (
                SELECT DISTINCT ON (subject) subject, created_seq, id FROM tasks WHERE blocked
                ORDER BY subject, created_seq, id
            ) AS first
            WHERE NOT EXISTS (
                SELECT FROM tasks t
                WHERE t.subject = first.subject AND (t.created_seq, t.id) < (first.created_seq, first.id)
            )
        ) ORDER BY id FOR UPDATE
    )
    UPDATE tasks SET blocked = false FROM free WHERE tasks.id = free.id
"""


class TaskQueue:
    """The tasks in Postgres."""

    def __init__(self, pool: asyncpg.Pool[Any], *, lease_seconds: float) -> None:
        self._pool = pool
        self._lease_seconds = lease_seconds
        self._finisher = Finisher(pool, self._tell_unblocked)
        self._on_unblocked: list[Callable[[str], None]] = []

    def on_unblocked(self, tell: Callable[[str], None]) -> None:
        """Calls `tell` from now on with the kind of each task that may run because an earlier one was finished here."""
        self._on_unblocked.append(tell)

    async def claim(self, kinds: Sequence[str], limit: int) -> list[Task]:
        """Claims up to `limit` due tasks of these kinds, the longest waiting first."""
        rows = await self._pool.fetch(_CLAIM, kinds, limit, self._lease_seconds)
        return [
            Task(UUID(int=task_id.int), kind, subject, msgspec.json.decode(payload), seq, run, attempts, token)
            for task_id, kind, subject, payload, seq, run, attempts, token in rows
        ]

    async def finish(self, task: Task) -> None:
        """Removes a finished task, and unblocks the next one of its subject. Raises LeaseLost."""
        if not await self._finisher.finish(task.id, task.token):
            raise LeaseLost(task.id)

    def _tell_unblocked(self, kind: str) -> None:
        for tell in self._on_unblocked:
            tell(kind)

    async def retry_later(self, task: Task, error: str, *, after_seconds: float, attempted: bool) -> None:
        """Gives the task back, to be run again `after_seconds` from now. Only an `attempted` run counts as an attempt.
        Raises LeaseLost."""
        must_hold(
            await self._pool.execute(
                f"""
                UPDATE tasks SET {RELEASED}, due_at = now() + $3 * interval '1 second', attempts = attempts - $4,
                    last_error = coalesce($5, last_error), updated_at = now()
                WHERE id = $1 AND lease_token = $2
                """,  # noqa: S608 - a constant of ours
                task.id,
                task.token,
                after_seconds,
                0 if attempted else 1,
                error[:ERROR_MAX_CHARS] or None,
            ),
            task.id,
        )

    async def die(self, task: Task, error: str) -> None:
        """Marks the task dead, until staff retry it. Raises LeaseLost."""
        must_hold(
            await self._pool.execute(
                f"""
                UPDATE tasks SET {RELEASED}, state = '{TASK_DEAD}', last_error = $3, updated_at = now()
                WHERE id = $1 AND lease_token = $2
                """,  # noqa: S608 - constants of ours
                task.id,
                task.token,
                error[:ERROR_MAX_CHARS],
            ),
            task.id,
        )

    async def headway(self, task: Task) -> None:
        """Restarts the count of attempts. Raises LeaseLost."""
        must_hold(
            await self._pool.execute(
                "UPDATE tasks SET attempts = 1 WHERE id = $1 AND lease_token = $2", task.id, task.token
            ),
            task.id,
        )

    async def attempts(self, task: Task) -> int:
        """The number of attempts since it last made headway, including this run. Raises LeaseLost."""
        attempts: int | None = await self._pool.fetchval(
            "SELECT attempts FROM tasks WHERE id = $1 AND lease_token = $2", task.id, task.token
        )
        if attempts is None:
            raise LeaseLost(task.id)
        return attempts

    async def unblock(self) -> int:
        """Unblocks every blocked task without an earlier one of its subject; returns how many there were."""
        done: str = await self._pool.execute(_UNBLOCK)
        return int(done.rpartition(" ")[2])


async def waited_seconds(task: Task, pool: asyncpg.Pool[Any]) -> float:
    """How long ago the task was created, by Postgres's clock."""
    seconds: float = await pool.fetchval(_WAITED_SECONDS, task.id)
    return seconds
