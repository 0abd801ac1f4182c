"""Tasks as staff see them: waiting and given up; and their numbers, for metrics."""

import re
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.tasks import TASK_DEAD, TASK_QUEUED
from gateway.web.pages import Page, decode_cursor, page_of
from runtime.tables import tasks

TaskState = Literal["queued", "dead"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TaskView(BaseModel):
    """Something to be done outside the log, such as running an import, for one `subject`. It was created by the event
    at `created_seq`. It is `queued` until it is done and removed, or `dead` after too many failed attempts. While it is
    `blocked`, an earlier task of the same subject is not done. `runs` counts all runs, `attempts` those since it last
    made progress."""

    id: UUID
    kind: str
    subject: str
    payload: dict[str, Any]
    state: TaskState
    blocked: bool
    running: bool
    due_at: datetime
    runs: int
    attempts: int
    last_error: str | None
    created_seq: int
    created_at: datetime
    updated_at: datetime


_TASKS = select(
    *(tasks.c[name] for name in TaskView.model_fields if name in tasks.c),
    func.coalesce(tasks.c.lease_until > func.now(), False).label("running"),
)


async def find(connection: AsyncConnection, task_id: UUID) -> TaskView | None:
    """The task, unless it is done or there never was one."""
    row = (await connection.execute(_TASKS.where(tasks.c.id == task_id))).mappings().first()
    return None if row is None else TaskView.model_validate(dict(row))


async def newest(
    connection: AsyncConnection, state: TaskState | None, kind: str | None, cursor: str | None, limit: int
) -> Page[TaskView]:
    """Tasks, newest first by their ids."""
    query = _TASKS.order_by(tasks.c.id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(tasks.c.state == state)
    if kind is not None:
        query = query.where(tasks.c.kind == kind)
    if cursor is not None:
        query = query.where(tasks.c.id < decode_cursor(cursor, _id))
    found = [TaskView.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]
    return page_of(found, limit, lambda task: str(task.id))


class Backlog(NamedTuple):
    """The tasks of one kind: how many are queued, how many of them are due, how many are dead, and for how many
    seconds the oldest that may be taken has been due."""

    kind: str
    queued: int
    due: int
    dead: int
    oldest_due_seconds: float


async def backlogs(engine: AsyncEngine) -> list[Backlog]:
    """The backlog of every kind that has any."""
    waiting = (tasks.c.state == TASK_QUEUED) & ~tasks.c.blocked
    due_at = func.min(case((waiting, tasks.c.due_at)))
    query = (
        select(
            tasks.c.kind,
            func.count().filter(tasks.c.state == TASK_QUEUED),
            func.count().filter(waiting & (tasks.c.due_at <= func.now())),
            func.count().filter(tasks.c.state == TASK_DEAD),
            func.greatest(0.0, func.coalesce(func.extract("epoch", func.now() - due_at), 0.0)),
        )
        .group_by(tasks.c.kind)
        .order_by(tasks.c.kind)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return [Backlog(kind, queued, due, dead, float(late)) for kind, queued, due, dead, late in rows]


def _id(key: str) -> UUID:
    if not _UUID.fullmatch(key):
        raise ValueError(f"{key!r} is not the id of a task")
    return UUID(key)
