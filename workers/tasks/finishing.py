"""Finishes tasks in groups: all tasks that end while one statement is on its way share the next one. Tasks tend to end
together, because their outcomes are read together, and then cost one transaction. Done and unblocked tasks alike are
locked in order of their ids, so that two processes cannot deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

_FINISH: Final = """
    WITH ours AS MATERIALIZED (
        SELECT t.id, t.subject, t.created_seq, v.token FROM unnest($1::uuid[], $2::uuid[]) AS v (id, token)
        JOIN tasks t ON t.id = v.id AND t.lease_token = v.token
    ), next AS MATERIALIZED (
        SELECT t.id, t.kind, ours.id AS after FROM ours CROSS JOIN LATERAL (
            SELECT id, kind FROM tasks
            WHERE subject = ours.subject AND (created_seq, id) > (ours.created_seq, ours.id)
            ORDER BY created_seq, id LIMIT 1
        ) t
    ), locked AS MATERIALIZED (
        SELECT t.id FROM (SELECT id FROM ours UNION ALL SELECT id FROM next) w JOIN tasks t ON t.id = w.id
        ORDER BY t.id FOR UPDATE OF t
    ), done AS (
        DELETE FROM tasks t USING locked, ours
        WHERE t.id = locked.id AND t.id = ours.id AND t.lease_token = ours.token RETURNING t.id, t.lease_token
    ), unblocked AS (
        UPDATE tasks SET blocked = false WHERE id IN (SELECT next.id FROM next JOIN done ON done.id = next.after)
    )
    SELECT done.lease_token, next.kind AS unblocked FROM done LEFT JOIN next ON next.after = done.id
"""


class _Done(NamedTuple):
    task_id: UUID
    token: UUID
    is_ours: asyncio.Future[bool]


class Finisher:
    """Finishes the tasks of one process."""

    def __init__(self, pool: asyncpg.Pool[Any], unblocked: Callable[[str], None]) -> None:
        """`unblocked` is called with the kind of each task that may run because an earlier one is finished."""
        self._pool = pool
        self._unblocked = unblocked
        self._waiting: list[_Done] = []
        self._finishing: asyncio.Task[None] | None = None

    async def finish(self, task_id: UUID, token: UUID) -> bool:
        """Removes a finished task, and unblocks the next one of its subject; False if the lease was lost. Raises what
        the statement raises."""
        is_ours: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Done(task_id, token, is_ours))
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish_all())
        return await is_ours

    async def _finish_all(self) -> None:
        try:
            while self._waiting:
                await self._finish_some()
        finally:
            self._finishing = None

    async def _finish_some(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            rows = await self._pool.fetch(_FINISH, [each.task_id for each in waiting], [each.token for each in waiting])
        except Exception as error:
            for each in waiting:
                if not each.is_ours.done():
                    each.is_ours.set_exception(error)
            return
        for row in rows:
            if (kind := row["unblocked"]) is not None:
                self._unblocked(kind)
        tokens = {row["lease_token"] for row in rows}
        for each in waiting:
            if not each.is_ours.done():  # unless the caller was cancelled
                each.is_ours.set_result(each.token in tokens)
