"""Checkouts: one that has been merged into another is closed."""

from __future__ import annotations

from uuid import UUID

from domain.checkouts import CancelCheckout
from workers.tasks.kinds import TaskTools, performs
from workers.tasks.queue import Task


@performs("cancel_checkout")
async def _cancel(task: Task, tools: TaskTools) -> CancelCheckout:
    return CancelCheckout(UUID(task.subject), task.payload["version"])
