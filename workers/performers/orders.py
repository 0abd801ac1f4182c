"""Orders: what is done about them when their time has come."""

from __future__ import annotations

from uuid import UUID

from domain.orders import ExpireOrder
from workers.tasks.kinds import TaskTools, performs
from workers.tasks.queue import Task


@performs("expire_order")
async def _expire(task: Task, tools: TaskTools) -> ExpireOrder:
    """Whatever is on its way by now has had its time."""
    return ExpireOrder(UUID(task.subject.removeprefix("expire:")))
