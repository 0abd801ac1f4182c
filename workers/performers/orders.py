"""Orders: tasks that are due some time after an event."""

from __future__ import annotations

from uuid import UUID

from domain.orders import ExpireOrder
from workers.tasks.kinds import TaskTools, performs
from workers.tasks.queue import Task


@performs("expire_order")
async def _expire(task: Task, tools: TaskTools) -> ExpireOrder:
    """Expires the order even if a payment is on its way: its extra time is up."""
    return ExpireOrder(UUID(task.subject.removeprefix("expire:")))
